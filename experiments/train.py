"""Train one cell and write its record.

    python experiments/train.py --preset mini --model.variant gc2l --model.groups 4 --data.name cifar10 --seed 1

The preset, the data set and the network family choose the defaults; every field of the cell and of its execution has
a flag (--help lists them). A cell that differs from its preset in more than convolution and seed is recorded as
"custom". A cell that has a record is not trained again without --retrain.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from gc2l.campaign import run_cell
from gc2l.cells import Cell
from gc2l.command_line import find_preset, run_script
from gc2l.records import RunStore
from gc2l.training import Execution

PRESETS = Path(__file__).parent / "presets"


def main() -> int:
    """Read the preset's flags for the defaults, then all flags, and train."""
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", default="digits")
    chooser.add_argument("--data.name", dest="dataset")
    chooser.add_argument("--model.network", dest="network")
    chosen, _ = chooser.parse_known_args()
    preset = find_preset(chosen.preset, PRESETS)
    template = preset.column(dataset=chosen.dataset, network=chosen.network).template

    def train_cell(
        cell: Annotated[Cell, tyro.conf.arg(name="")] = template,
        execution: Execution = Execution(),  # noqa: B008  frozen
        runs: Path = Path("results/runs"),
        retrain: bool = False,
    ) -> int:
        """Train one cell and write its record.

        Args:
            cell: what to train.
            execution: how to train it.
            runs: folder of the records.
            retrain: train even if the cell has a record.
        """
        if not preset.claims(cell):
            cell = replace(cell, preset="custom")
        store = RunStore(runs)
        record = run_cell(cell, store, execution, retrain=retrain)
        if record.test is None:
            print(f"{store.path(cell)}: diverged: {record.message}")
            return 1
        interval = record.test.interval
        print(
            f"{store.path(cell)}: test error {record.test.error_percent:.2f} % "
            f"(95 % interval {interval.low:.2f} to {interval.high:.2f})"
        )
        return 0

    return tyro.cli(train_cell, description=__doc__)


if __name__ == "__main__":
    run_script(main)
