"""Convolutions that the paper does not compare, at equal parameter budgets: SCC, overlapping and shuffled GC-2L.

Trains the cells that the preset still lacks, then prints the tables and writes them to results/beyond/PRESET.md.
"""

from pathlib import Path

from gc2l.campaign.script import find_preset, run_script

import tyro

from gc2l.campaign.beyond import beyond_cells, beyond_columns
from gc2l.campaign.grid import run_missing
from gc2l.campaign.pages import beyond_page
from gc2l.campaign.reproduce import GridArguments, report_failures
from gc2l.records import RunStore, write_atomically

PRESETS = Path(__file__).parent / "presets"


def main() -> int:
    """Complete the grid, print and write its tables."""
    arguments = tyro.cli(GridArguments, description=__doc__, default=GridArguments(output=Path("results/beyond")))
    preset, store = find_preset(arguments.preset, PRESETS), RunStore(arguments.runs)
    columns = beyond_columns(preset)
    if not columns:
        raise ValueError(f"preset {preset.name!r} has no wide_resnet_cifar column, which this grid is for")
    failures = []
    for column in columns:
        grid = beyond_cells(column, preset, range(1, arguments.seeds + 1))
        # Seed by seed, so that a stopped grid is even.
        cells = [cell for one_seed in zip(*grid.values(), strict=True) for cell in one_seed]
        failures += run_missing(cells, store, arguments.execution, jobs=arguments.jobs)
    text = beyond_page(preset, store, seeds=arguments.seeds)
    write_atomically(arguments.output / f"{preset.name}.md", text)
    print(text)
    return report_failures(failures)


if __name__ == "__main__":
    run_script(main)
