"""Train one cell and write its record.

    python experiments/train.py --preset mini --model.variant gc2l --model.groups 4 --data.name cifar10 --seed 1

The preset, the data set and the network family choose the defaults; every field of the cell and of its execution has
a flag (--help lists them). A cell that is in no table of its preset is recorded as "custom". One that has a record is
not trained again without --retrain, one that another process is training is waited for.

Started by torchrun, several processes divide the channels of the network, and with more of them also each batch:

    torchrun --nproc-per-node 2 experiments/train.py --convolution gc2l-n4 --parallel.channels 2

A run's numbers depend on the cell and on the class of the device: by default CPUs compute in float32 and GPUs in
bfloat16, and no default depends on which CPU, GPU or compiler there is. The record names the number of threads, which
changes the order of rounding.

Exit status: 0 when the cell has its record (a diverged run has one, too), 2 after a wrong argument or missing images,
1 after any other failure, such as a lost rank. When stopped, it ends with 130 after Ctrl-C, 143 after SIGTERM, 138
after SIGUSR1 and 129 after SIGHUP, and the same command continues from the last epoch.
"""

import sys
from pathlib import Path
from typing import Annotated

from gc2l.campaign.script import run_script

import tyro

from gc2l.campaign.arguments import check_stored, choose_template, own_cell, split_agents_arguments
from gc2l.campaign.run import run_cell, run_cell_on_ranks
from gc2l.cells import Cell
from gc2l.parallel import Parallel, RankError, join_job
from gc2l.records import Record, RunStore
from gc2l.training import Execution

PRESETS = Path(__file__).parent / "presets"


def main() -> int:
    """Read the preset's flags for the defaults, then all flags, and train."""
    flags, stored = split_agents_arguments(sys.argv[1:])
    preset, template = choose_template(flags, PRESETS)

    def train_cell(
        cell: Annotated[Cell, tyro.conf.arg(name="")] = template,
        convolution: str | None = None,
        execution: Execution = Execution(),  # noqa: B008  frozen
        parallel: Parallel = Parallel(),  # noqa: B008  frozen
        runs: Path = Path("results/runs"),
        retrain: bool = False,
    ) -> int:
        """Train one cell and write its record.

        Args:
            cell: what to train.
            convolution: variant and groups in one, such as gc2l-n4; in place of --model.variant and --model.groups.
            execution: how to train it.
            parallel: how several processes share the work.
            runs: folder of the records.
            retrain: train even if the cell has a record.
        """
        own, store = own_cell(cell, preset), RunStore(runs)
        check_stored(own, stored)
        with join_job(parallel, device=execution.resolved_device()) as job:
            if job is None:
                record: Record | None = run_cell(own, store, execution, retrain=retrain)
            else:
                record = run_cell_on_ranks(own, store, execution, job, retrain=retrain)
        if record is None:
            return 0  # rank 0 prints
        if record.test is None:
            print(f"{store.path(own)}: diverged: {record.message}")
            return 0
        interval = record.test.interval
        print(
            f"{store.path(own)}: test error {record.test.error_percent:.2f} % "
            f"(95 % interval {interval.low:.2f} to {interval.high:.2f})"
        )
        return 0

    return tyro.cli(train_cell, args=flags, description=__doc__)


def main_on_ranks() -> int:
    """A lost rank ends the others with one line each."""
    try:
        return main()
    except RankError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    run_script(main_on_ranks)
