"""Reproducing a table: its grid completed at one preset, then the table written from the records of all presets."""

from pathlib import Path

from gc2l.campaign.run import run_missing
from gc2l.campaign.script import GridArguments, find_preset
from gc2l.cells import read_presets, table_cells
from gc2l.evidence.publish import publish_table
from gc2l.records import RunStore
from gc2l.training import Execution


def reproduce_table(table: str, arguments: GridArguments, presets: Path) -> int:
    """Train the cells that the preset still lacks for `table`, then print and write the table.

    Args:
        table: "table1", "table3" or "table4".
        arguments: preset, seeds and folders.
        presets: folder of the presets.

    Returns:
        The script's exit status, 0.

    Raises:
        ValueError: an unknown preset, or one that has nothing in place of the table's networks and data sets.
        KeyboardInterrupt: stopped; the same call continues.
    """
    preset = find_preset(arguments.preset, presets)
    cells = table_cells([table], preset, seeds=range(1, arguments.seeds + 1))
    if not cells:
        raise ValueError(f"preset {preset.name!r} has no column for {table}; see the presets in {presets}")
    store = RunStore(arguments.runs)
    run_missing(cells, store, Execution())
    print(publish_table(table, read_presets(presets), store, arguments.output))
    return 0
