"""Put the final weights of small finished runs under results/weights, with their SHA-256, for `make verify`.

Of the preset's cells in Tables 1, 3 and 4 with the given groups and seed: those trained in float32 on a CPU, whose file
stays under 1 MB.
"""

from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import find_preset, run_script

import tyro

from gc2l.cells import table_cells
from gc2l.evidence.released import release
from gc2l.records import RunStore, WeightsFolder
from gc2l.training import Execution
from gc2l.training.run import weights_path

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The weights to release.

    Attributes:
        preset: the scale.
        groups: n.
        seed: of the runs.
        scratch: folder that training wrote them to, its --execution.scratch.
        runs: folder of the records.
        output: folder of the released weights.
    """

    preset: str = "mini"
    groups: int = 16
    seed: int = 1
    scratch: Path = Path(".scratch")
    runs: Path = Path("results/runs")
    output: Path = Path("results/weights")


def main() -> int:
    """Release the weights and report what cannot be released."""
    arguments = tyro.cli(Arguments, description=__doc__)
    preset = find_preset(arguments.preset, PRESETS)
    store, weights = RunStore(arguments.runs), WeightsFolder(arguments.output)
    cells = table_cells(["table1", "table3", "table4"], preset, [arguments.seed])
    for cell in (cell for cell in cells if cell.model.groups == arguments.groups):
        trained = weights_path(cell, Execution(scratch=arguments.scratch))
        try:
            path = release(cell, store.find(cell), trained, weights)
            print(f"{path}: {path.stat().st_size} bytes")
        except (ValueError, FileNotFoundError) as error:
            print(f"{cell.slug} is not released: {error}")
    return 0


if __name__ == "__main__":
    run_script(main)
