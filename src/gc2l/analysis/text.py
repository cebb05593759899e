"""Tables of text cells in Markdown, and what rich prints, as strings."""

import io
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console, RenderableType
from tabulate import tabulate

TERMINAL_WIDTH = 120


def markdown_grid(rows: Iterable[Sequence[str]], headers: Sequence[str], right: Collection[int] = ()) -> str:
    """A GitHub table; the columns with the numbers `right` are aligned to the right."""
    lines = list(rows)
    alignment = ["right" if place in right else "left" for place in range(len(headers))] if right and lines else None
    # Without disable_numparse "4.10" would become 4.1.
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True, colalign=alignment)


def terminal_text(content: Iterable[RenderableType]) -> str:
    """Everything below each other, at most `TERMINAL_WIDTH` characters wide."""
    console = Console(file=io.StringIO(), width=TERMINAL_WIDTH, color_system=None, force_jupyter=False, markup=False)
    with console.capture() as capture:
        for one in content:
            console.print(one)
    # The console fills each line of a table with blanks.
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
