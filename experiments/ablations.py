"""What changes when the coarse level of GC-2L, or the assignment of FLGC, is made otherwise.

Trains the cells that a column of the preset still lacks, then prints the tables and writes them to
results/ablations/PRESET.md.
"""

from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import find_preset, run_script

import tyro

from gc2l.analysis.ablations import ablation_table, movement_table
from gc2l.campaign.ablations import ABLATIONS, ablation_cells
from gc2l.campaign.grid import run_missing
from gc2l.campaign.reproduce import GridArguments, report_failures
from gc2l.records import RunStore, write_atomically

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments(GridArguments):
    """Which ablations.

    Attributes:
        ablations: by name; all of them unless some are given.
        network: family of the preset's column that is changed.
        output: folder of the tables.
    """

    ablations: tuple[str, ...] = tuple(ABLATIONS)
    network: str = "wide_resnet_cifar"
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
    column = preset.column(network=arguments.network)
    grids = {
        name: {n: ablation_cells(found, column, preset, n, range(1, arguments.seeds + 1)) for n in found.groups}
        for name, found in ABLATIONS.items()
    }
    chosen = [cells for name in arguments.ablations for grid in grids[name].values() for cells in grid.values()]
    # Seed by seed, so that a stopped grid is even.
    cells = list({cell.identity: cell for one_seed in zip(*chosen, strict=True) for cell in one_seed}.values())
    failures = run_missing(cells, store, arguments.execution, jobs=arguments.jobs)
    parts = [f"# Ablations: preset {preset.name}\n"]
    for name, ablation in ABLATIONS.items():
        runs = {
            n: {label: [found for cell in cells if (found := store.find(cell))] for label, cells in grid.items()}
            for n, grid in grids[name].items()
        }
        parts += [ablation_table(ablation.title, column.template, runs, ablation.reference), movement_table(runs)]
    text = "\n".join(part for part in parts if part)
    write_atomically(arguments.output / f"{preset.name}.md", text)
    print(text)
    return report_failures(failures)


if __name__ == "__main__":
    run_script(main)
