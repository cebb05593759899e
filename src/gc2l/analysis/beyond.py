"""The table of the grid `beyond`: convolutions at one parameter budget, with what they leave between them."""

from collections.abc import Mapping, Sequence

from gc2l.analysis.labels import mean_text, run_label
from gc2l.analysis.render import NOTHING
from gc2l.analysis.statistics import mean_interval, paired_difference
from gc2l.analysis.text import markdown_grid
from gc2l.cells import Cell
from gc2l.records import Record

HEADERS = ("convolution", "width", "parameters", "test error in %", "difference in points", "seeds")


def beyond_table(title: Cell, runs: Mapping[str, Sequence[Record]], reference: str) -> str:
    """The errors of each convolution, and its paired differences to the reference, as a Markdown table with notes.

    Args:
        title: a cell of the column that the grid stands for.
        runs: the records of each convolution, by label.
        reference: the label of the convolution that the others are compared with.
    """
    errors = {label: _errors(records) for label, records in runs.items()}
    rows = [
        _row(label, runs[label], errors[label], None if label == reference else errors[reference]) for label in runs
    ]
    grid = markdown_grid(rows, HEADERS, right=range(1, len(HEADERS)))
    diverged = sum(len(runs[label]) - len(errors[label]) for label in runs)
    notes = [
        f"- {run_label(title)}, {title.model.groups} groups. The width of each network is the multiple that n allows "
        f"whose parameters come nearest to those of {reference} at the preset's width.",
        f"- ± half the 95 % interval over the seeds (Student t). Differences are paired by seed, to {reference}.",
    ]
    if diverged:
        notes.append(f"- {diverged} runs diverged and are left out.")
    return "\n".join([grid, "", *notes]) + "\n"


def _errors(records: Sequence[Record]) -> dict[int, float]:
    """Test error in percent by seed, of the runs that did not diverge."""
    return {record.seed: record.test.error_percent for record in records if record.test is not None}


def _row(
    label: str, records: Sequence[Record], errors: Mapping[int, float], others: Mapping[int, float] | None
) -> tuple[str, ...]:
    if not records:
        return label, NOTHING, NOTHING, NOTHING, NOTHING, "0"
    shared = sorted(errors.keys() & others.keys()) if others else []
    return (
        label,
        f"{records[0].configuration['model']['width']:g}",
        f"{records[0].parameters:,}",
        mean_text(mean_interval(list(errors.values()))) if errors else NOTHING,
        mean_text(paired_difference([errors[s] for s in shared], [others[s] for s in shared]), sign="+")
        if others and shared
        else NOTHING,
        f"{len(errors)}",
    )
