"""Writing a table: computed from the records and the networks, rendered in every format, put under results/."""

from collections.abc import Mapping
from pathlib import Path

from gc2l.analysis import FORMATS, comparison_table, to_terminal
from gc2l.cells import Preset
from gc2l.models import paper_parameter_counts
from gc2l.paper import reported_rows
from gc2l.records import RunStore, write_atomically


def publish_table(table: str, presets: Mapping[str, Preset], store: RunStore, folder: Path) -> str:
    """Write `table` from all records of `store` to folder/<table>.{md,csv,tex} and return it for the terminal.

    Raises:
        ValueError: an unknown table, or a record that cannot be read.
    """
    comparison = comparison_table(table, presets, store.all(), computed=paper_parameter_counts(reported_rows(table)))
    for suffix, render in FORMATS.items():
        write_atomically(folder / f"{table}.{suffix}", render(comparison))
    return to_terminal(comparison)
