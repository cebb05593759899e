"""A comparison table as text: for people (terminal, Markdown, LaTeX) and for programs (CSV)."""

from collections.abc import Callable, Mapping
from itertools import zip_longest
from types import MappingProxyType

import pandas as pd
from rich import box
from rich.table import Table
from tabulate import LATEX_ESCAPE_RULES

from gc2l.analysis.labels import model_label
from gc2l.analysis.layout import Block, blocks, notes, title
from gc2l.analysis.tables import ComparisonTable, Entry, Reproduction, Row
from gc2l.analysis.text import markdown_grid, terminal_text

_LATEX = str.maketrans(LATEX_ESCAPE_RULES)


def to_terminal(table: ComparisonTable) -> str:
    """One ruled table for each network and the notes below."""
    ruled = (part for block in blocks(table) for part in ("", _ruled(block)))
    return terminal_text([title(table), *ruled, *notes(table)])


def to_markdown(table: ComparisonTable) -> str:
    """One GitHub table for each network, with the notes below."""
    parts = [f"# {title(table)}"]
    for block in blocks(table):
        headers = [f"{quantity}<br>{whose}" if quantity else whose for quantity, whose in block.headers]
        numbers = [place for place, right in enumerate(_right_aligned(block)) if right]
        parts += [f"## {block.title}", markdown_grid(block.rows, headers, numbers)]
    parts.append("\n".join(f"- {note}" for note in notes(table)))
    return "\n\n".join(parts) + "\n"


def to_latex(table: ComparisonTable) -> str:
    """One `table` environment with a booktabs tabular for each network; needs the booktabs package."""
    caption = _escape(" ".join((f"{title(table)}.", *notes(table))))
    tabulars = [f"{_escape(block.title)}\\\\[0.5ex]\n{_tabular(block)}" for block in blocks(table)]
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{caption}}}",
        f"\\label{{tab:{table.table}}}",
        "\n\n\\bigskip\n".join(tabulars),
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_csv(table: ComparisonTable) -> str:
    """One line for each printed error and preset, in full precision; empty fields where nothing has been run."""
    rows = [
        _csv_fields(table.table, row, entry, run)
        for row in table.rows
        for entry in row.entries
        for run in entry.reproductions or (None,)
    ]
    return pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")


FORMATS: Mapping[str, Callable[[ComparisonTable], str]] = MappingProxyType(
    {"md": to_markdown, "csv": to_csv, "tex": to_latex}
)
"""The renderer for each kind of file that a table is written to."""


def _right_aligned(block: Block) -> list[bool]:
    return [whose != "variant" for _, whose in block.headers]


def _ruled(block: Block) -> Table:
    table = Table(title=block.title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    shown = ""
    for (quantity, whose), right in zip(block.headers, _right_aligned(block), strict=True):
        # Columns of one quantity stand together: the first is enough to name it.
        table.add_column(f"{'' if quantity == shown else quantity}\n{whose}", justify="right" if right else "left")
        shown = quantity
    for cells, following in zip_longest(block.rows, block.rows[1:]):
        table.add_row(*cells, end_section=following is not None and following[0] != cells[0])
    return table


def _tabular(block: Block) -> str:
    frame = pd.DataFrame(list(block.rows), columns=pd.MultiIndex.from_tuples(block.headers))
    style = frame.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    columns = "".join("r" if right else "l" for right in _right_aligned(block))
    return style.to_latex(hrules=True, column_format=columns, multicol_align="c").rstrip("\n")


def _escape(text: str) -> str:
    return text.translate(_LATEX)


def _csv_fields(table: str, row: Row, entry: Entry, run: Reproduction | None) -> dict[str, object]:
    template = run and run.scale.column.template
    error = run and run.error_percent
    interval = error and error.interval
    return {
        "table": table,
        "network": row.network,
        "variant": row.variant,
        "groups": row.groups,
        "reported_parameters_millions": row.reported_millions,
        "parameters": row.computed.total,
        "parameters_per_processor": row.computed.per_processor,
        "dataset": entry.dataset,
        "reported_error_percent": entry.reported_percent,
        "preset": run and run.scale.preset,
        "preset_network": template and model_label(template),
        "preset_dataset": template and template.data.name,
        "preset_epochs": template and template.training.epochs,
        "seeds_finished": run and run.finished,
        "seeds_diverged": run and run.diverged,
        "error_percent": error and error.value,
        "error_percent_low": interval and interval.low,
        "error_percent_high": interval and interval.high,
    }
