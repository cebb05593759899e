"""The table of the grid `beyond`: convolutions at one parameter budget, with what they leave between them."""

from collections.abc import Mapping, Sequence

from gc2l.analysis.labels import run_label
from gc2l.analysis.paired import HEADERS, NOTE, diverged_count, paired_cells
from gc2l.analysis.render import NOTHING
from gc2l.analysis.text import markdown_grid
from gc2l.cells import Cell
from gc2l.records import Record


def beyond_table(title: Cell, runs: Mapping[str, Sequence[Record]], reference: str) -> str:
    """The errors of each convolution, and its paired differences to the reference, as a Markdown table with notes.

    Args:
        title: a cell of the column that the grid stands for.
        runs: the records of each convolution, by label.
        reference: the label of the convolution that the others are compared with.
    """
    rows = [
        (label, f"{runs[label][0].configuration['model']['width']:g}" if runs[label] else NOTHING, *cells)
        for label, cells in paired_cells(runs, reference).items()
    ]
    headers = ("convolution", "width", *HEADERS)
    notes = [
        f"- {run_label(title)}, {title.model.groups} groups. The width of each network is the multiple that n allows "
        f"whose parameters come nearest to those of {reference} at the preset's width.",
        f"- {NOTE} {reference}.",
    ]
    if diverged := diverged_count(runs):
        notes.append(f"- {diverged} runs diverged and are left out.")
    return "\n".join([markdown_grid(rows, headers, right=range(1, len(headers))), "", *notes]) + "\n"
