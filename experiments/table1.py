"""Table 1, the ablation: SC, GC and GC-2L with n = 1, 2, 4, 8, 16 groups.

Trains the cells that the preset still lacks, then prints the table with every preset's records and writes it to
results/tables/table1.{md,csv,tex}.
"""

from pathlib import Path

import tyro

from gc2l.campaign import run_missing
from gc2l.cells import read_presets, table_cells
from gc2l.command_line import GridArguments, find_preset, run_script
from gc2l.publish import publish_table
from gc2l.records import RunStore
from gc2l.training import Execution

TABLE = "table1"
PRESETS = Path(__file__).parent / "presets"


def main() -> int:
    """Complete the grid, publish the table."""
    arguments = tyro.cli(GridArguments, description=__doc__)
    preset = find_preset(arguments.preset, PRESETS)
    store = RunStore(arguments.runs)
    cells = table_cells([TABLE], preset, seeds=range(1, arguments.seeds + 1))
    run_missing(cells, store, Execution())
    print(publish_table(TABLE, read_presets(PRESETS), store, arguments.output))
    return 0


if __name__ == "__main__":
    run_script(main)
