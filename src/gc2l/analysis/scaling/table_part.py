"""A part of Table 2 as cells of text, and its output formats."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from tabulate import tabulate


@dataclass(frozen=True, kw_only=True)
class TablePart:
    """One part; cells are text."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def to_text(parts: Sequence[TablePart], style: str) -> str:
    """All parts in one of tabulate's formats: "simple" for the terminal, "pipe" for Markdown."""
    mark = "## " if style == "pipe" else ""
    texts = []
    for part in parts:
        grid = tabulate(part.rows, part.headers, tablefmt=style, disable_numparse=True, colalign=_alignment(part))
        texts.append("\n\n".join([f"{mark}{part.title}", grid, *(f"- {note}" for note in part.notes)]))
    return "\n\n".join(texts) + "\n"


def to_latex(parts: Sequence[TablePart]) -> str:
    """All parts as booktabs tables, each below a comment that is its title."""
    grids = (
        tabulate(part.rows, part.headers, tablefmt="latex_booktabs", disable_numparse=True, colalign=_alignment(part))
        for part in parts
    )
    return "\n\n".join(f"% {part.title}\n{grid}" for part, grid in zip(parts, grids, strict=True)) + "\n"


def to_csv(parts: Sequence[TablePart]) -> str:
    """All parts, one line a row, each cell with the number of its part and the name of its column."""
    cells = [
        (number, part.title, place, column, value)
        for number, part in enumerate(parts, start=1)
        for place, row in enumerate(part.rows, start=1)
        for column, value in zip(part.headers, row, strict=True)
    ]
    return pd.DataFrame(cells, columns=["part", "title", "row", "column", "value"]).to_csv(index=False)


def _alignment(part: TablePart) -> list[str]:
    return ["left", *["right"] * (len(part.headers) - 1)]
