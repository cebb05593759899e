"""Table 3, the comparison: GC, Shuffle, FLGC and GC-2L with n = 2, 4, 8, 16 groups.

Trains the cells that the preset still lacks, then prints the table with every preset's records and writes it to
results/tables/table3.{md,csv,tex}.
"""

from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.campaign.reproduce import GridArguments, reproduce_table

PRESETS = Path(__file__).parent / "presets"


def main() -> int:
    """Complete the grid, publish the table."""
    return reproduce_table("table3", tyro.cli(GridArguments, description=__doc__), PRESETS)


if __name__ == "__main__":
    run_script(main)
