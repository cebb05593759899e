"""What changes when the coarse level of GC-2L, or the assignment of FLGC, is made otherwise.

Trains the cells that a column of the preset still lacks, then prints the tables and writes them to
results/ablations/PRESET.md, those of another column than the first to PRESET-DATASET.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gc2l.campaign.script import find_preset, run_script

import tyro

from gc2l.campaign.ablations import ABLATIONS, ablation_cells
from gc2l.campaign.grid import run_missing
from gc2l.campaign.pages import ablations_name, ablations_page
from gc2l.campaign.reproduce import GridArguments, report_failures
from gc2l.cells import Cell
from gc2l.records import RunStore, write_atomically

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments(GridArguments):
    """Which ablations.

    Attributes:
        ablations: by name; all of them unless some are given.
        network, dataset: choose the preset's column that is changed, the first that has them. MobileNetV2 has no
            n = 16.
        output: folder of the tables.
    """

    ablations: tuple[str, ...] = tuple(ABLATIONS)
    network: Literal["wide_resnet_cifar", "wide_resnet_imagenet"] = "wide_resnet_cifar"
    dataset: str | None = None
    output: Path = Path("results/ablations")

    def __post_init__(self) -> None:
        """Check the names."""
        super().__post_init__()
        for name in self.ablations:
            if name not in ABLATIONS:
                raise ValueError(f"ablations: {name!r} is unknown; choose from {', '.join(ABLATIONS)}")


def main() -> int:
    """Complete the grid, print and write its tables."""
    arguments = tyro.cli(Arguments, description=__doc__)
    preset, store = find_preset(arguments.preset, PRESETS), RunStore(arguments.runs)
    column = preset.column(network=arguments.network, dataset=arguments.dataset)

    def of_seed(seed: int) -> list[Cell]:
        found = [(ABLATIONS[name], n) for name in arguments.ablations for n in ABLATIONS[name].groups]
        grids = [ablation_cells(ablation, column, preset, n, [seed]) for ablation, n in found]
        return [cell for grid in grids for cells in grid.values() for cell in cells]

    # Seed by seed, so that a stopped grid is even.
    chosen = [cell for seed in range(1, arguments.seeds + 1) for cell in of_seed(seed)]
    cells = list({cell.identity: cell for cell in chosen}.values())
    failures = run_missing(cells, store, arguments.execution, jobs=arguments.jobs)
    text = ablations_page(preset, column, store, ablations=ABLATIONS, seeds=arguments.seeds)
    write_atomically(arguments.output / ablations_name(preset, column), text)
    print(text)
    return report_failures(failures)


if __name__ == "__main__":
    run_script(main)
