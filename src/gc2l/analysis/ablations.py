"""The tables of the grid `ablations`: errors beside a reference, and how far FLGC's groups moved."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from gc2l.analysis.labels import run_label
from gc2l.analysis.paired import HEADERS, NOTE, diverged_count, paired_cells
from gc2l.analysis.text import markdown_grid
from gc2l.cells import Cell
from gc2l.records import Record

Runs = Mapping[str, Sequence[Record]]  # by label


def ablation_table(title: str, cell: Cell, runs: Mapping[int, Runs], reference: str) -> str:
    """The errors of each change, and its paired differences to the reference, as a Markdown section.

    Args:
        title: of the section.
        cell: a cell of the column that was changed.
        runs: the records for each number of groups, by label.
        reference: the label of the unchanged run.
    """
    rows = [(f"{n}", label, *cells) for n in runs for label, cells in paired_cells(runs[n], reference).items()]
    headers = ("n", "run", *HEADERS)
    parts = [
        f"## {title}\n",
        f"{run_label(cell)}. {NOTE} {reference} with the same n.\n",
        markdown_grid(rows, headers, right=(0, *range(2, len(headers)))),
    ]
    if diverged := sum(diverged_count(found) for found in runs.values()):
        parts.append(f"\n{diverged} runs diverged and are left out.")
    return "\n".join(parts) + "\n"


def movement_table(runs: Mapping[int, Runs]) -> str:
    """How many channels of FLGC left their group, and how large the gradient was that moved them, as Markdown.

    Args:
        runs: the records for each number of groups, by label; those that count no movement are left out.
    """
    rows = []
    for n, by_label in runs.items():
        for label, records in by_label.items():
            if learned := [record.assignment for record in records if record.assignment]:
                channels = learned[0][0].channels
                moved = [sum(entry.moved for entry in run) for run in learned]
                rows.append(
                    (
                        f"{n}",
                        label,
                        f"{channels:,}",
                        _percent(run[0].moved / channels for run in learned),
                        _percent(run[-1].moved / channels for run in learned),
                        _percent(count / channels for count in moved),
                        _ratio(run[0].logits_gradient / run[0].weights_gradient for run in learned),
                        _ratio(run[-1].logits_gradient / run[-1].weights_gradient for run in learned),
                        f"{len(learned)}",
                    )
                )
    headers = (
        "n",
        "run",
        "channels",
        "moved in the first epoch",
        "in the last",
        "in all, each move counted",
        "gradient of S and T / W, first epoch",
        "last",
        "seeds",
    )
    note = (
        "Input and output channels of all layers that ended an epoch in another group than they began it. Gradients "
        "are Euclidean norms over all layers in an epoch's last step. Means over the seeds."
    )
    return f"{markdown_grid(rows, headers, right=(0, *range(2, len(headers))))}\n\n{note}\n" if rows else ""


def _percent(shares: Iterable[float]) -> str:
    return f"{100 * fmean(shares):.2f} %"


def _ratio(ratios: Iterable[float]) -> str:
    return f"{fmean(ratios):.3f}"
