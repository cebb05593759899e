"""Runs of several configurations beside a reference, paired by seed."""

from collections.abc import Mapping, Sequence

from gc2l.analysis.labels import mean_text
from gc2l.analysis.render import NOTHING
from gc2l.analysis.statistics import mean_interval, paired_difference
from gc2l.records import Record

HEADERS = ("parameters", "test error in %", "difference in points", "seeds")
"""Of the cells that `paired_cells` gives."""

NOTE = (
    "± half the 95 % interval over the seeds (Student t); ± 0.00: equal in all seeds, which few test images make "
    "likely. Differences are paired by seed, to"
)
"""What the cells mean; the reference's name follows."""


def paired_cells(runs: Mapping[str, Sequence[Record]], reference: str) -> dict[str, tuple[str, str, str, str]]:
    """The cells of a table's row for each configuration; runs that diverged are left out.

    Args:
        runs: the records of each configuration, by label.
        reference: the label of the configuration that the others are compared with.
    """
    errors = {label: _errors(records) for label, records in runs.items()}
    return {
        label: _cells(records, errors[label], None if label == reference else errors[reference])
        for label, records in runs.items()
    }


def diverged_count(runs: Mapping[str, Sequence[Record]]) -> int:
    """The number of runs that diverged."""
    return sum(record.test is None for records in runs.values() for record in records)


def _errors(records: Sequence[Record]) -> dict[int, float]:
    """Test error in percent by seed, of the runs that did not diverge."""
    return {record.seed: record.test.error_percent for record in records if record.test is not None}


def _cells(
    records: Sequence[Record], errors: Mapping[int, float], others: Mapping[int, float] | None
) -> tuple[str, str, str, str]:
    if not records:
        return NOTHING, NOTHING, NOTHING, "0"
    shared = sorted(errors.keys() & others.keys()) if others else []
    return (
        f"{records[0].parameters:,}",
        mean_text(mean_interval(list(errors.values()))) if errors else NOTHING,
        mean_text(paired_difference([errors[s] for s in shared], [others[s] for s in shared]), sign="+")
        if others and shared
        else NOTHING,
        f"{len(errors)}",
    )
