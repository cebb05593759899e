"""Runs of several configurations beside a reference, paired by seed."""

from collections.abc import Iterable, Mapping, Sequence

from gc2l.analysis.labels import mean_text
from gc2l.analysis.render import NOTHING
from gc2l.analysis.selection import ran_alike
from gc2l.analysis.statistics import mean_interval, paired_difference
from gc2l.records import Record

HEADERS = ("parameters", "test error in %", "difference in points", "seeds")
"""Of the cells that `paired_cells` gives."""

NOTE = (
    "± half the 95 % interval over the seeds (Student t); ± 0.00: equal in all seeds, which few test images make "
    "likely. Differences are paired by seed, over the seeds in which both runs were executed alike (device, "
    "precision, images, division of batches); how many is added where these are not all. They are taken to"
)
"""What the cells mean; the reference's name follows."""


def paired_cells(runs: Mapping[str, Sequence[Record]], reference: str) -> dict[str, tuple[str, str, str, str]]:
    """The cells of a table's row for each configuration; runs that diverged are left out.

    Args:
        runs: the records of each configuration, by label.
        reference: the label of the configuration that the others are compared with.
    """
    finished = {label: {record.seed: record for record in records if record.test} for label, records in runs.items()}
    return {
        label: _cells(records, finished[label], {} if label == reference else finished[reference])
        for label, records in runs.items()
    }


def diverged_count(runs: Mapping[str, Sequence[Record]]) -> int:
    """The number of runs that diverged."""
    return sum(record.test is None for records in runs.values() for record in records)


def _cells(
    records: Sequence[Record], finished: Mapping[int, Record], others: Mapping[int, Record]
) -> tuple[str, str, str, str]:
    if not records:
        return NOTHING, NOTHING, NOTHING, "0"
    errors = mean_text(mean_interval(_errors(finished.values()))) if finished else NOTHING
    return f"{records[0].parameters:,}", errors, _difference(finished, others), f"{len(finished)}"


def _difference(finished: Mapping[int, Record], others: Mapping[int, Record]) -> str:
    shared = sorted(finished.keys() & others.keys())
    pairs = [(finished[seed], others[seed]) for seed in shared]
    alike = [pair for pair in pairs if ran_alike(pair)]
    if not alike:
        return NOTHING
    text = mean_text(paired_difference(*map(_errors, zip(*alike, strict=True))), sign="+")
    return text if len(alike) == len(pairs) else f"{text} ({len(alike)})"


def _errors(records: Iterable[Record]) -> list[float]:
    """Test errors in percent, of runs that did not diverge."""
    return [record.test.error_percent for record in records if record.test is not None]
