"""A table of the paper as data: printed numbers, counted parameters and results of the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from gc2l.analysis.selection import RunIndex, Scale, seeds_by_execution
from gc2l.analysis.statistics import Estimate, mean_interval
from gc2l.cells import Preset
from gc2l.paper import ReportedRow, reported_rows
from gc2l.paper.parameter_count import ParameterCount
from gc2l.records import Record


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The runs of one preset for one printed error, and the mean error of those that have finished, if any."""

    scale: Scale
    error_percent: Estimate | None
    runs: tuple[Record, ...]

    @property
    def finished(self) -> int:
        """The number of finished runs."""
        return 0 if self.error_percent is None else self.error_percent.count

    @property
    def diverged(self) -> int:
        """The number of diverged runs."""
        return len(self.runs) - self.finished


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One printed error and, for each scale of its column, its reproduction."""

    dataset: str
    reported_percent: float
    reproductions: tuple[Reproduction, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One printed row; its entries are the data sets that the paper prints side by side."""

    network: str
    variant: str
    groups: int
    reported_millions: float
    computed: ParameterCount
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class ComparisonTable:
    """A table of the paper and its reproduction.

    Attributes:
        table: "table1" to "table4".
        rows: in the paper's order.
        scales: every preset's column that has at least one record in this table.
    """

    table: str
    rows: tuple[Row, ...]
    scales: tuple[Scale, ...]

    def networks(self) -> dict[str, tuple[Row, ...]]:
        """The rows of each network."""
        return {network: tuple(rows) for network, rows in groupby(self.rows, key=lambda row: row.network)}

    def reproductions(self, scale: Scale) -> list[Reproduction]:
        """Those of one scale, in the order of the rows."""
        entries = (entry for row in self.rows for entry in row.entries)
        return [run for entry in entries for run in entry.reproductions if run.scale == scale]

    def executions(self, scale: Scale) -> dict[str, tuple[int, ...]]:
        """The seeds that one scale has of each device and precision."""
        return seeds_by_execution(run for found in self.reproductions(scale) for run in found.runs)


def comparison_table(
    table: str,
    presets: Mapping[str, Preset],
    records: Sequence[Record],
    *,
    computed: Mapping[tuple[str, str, int], ParameterCount],
) -> ComparisonTable:
    """Compare every row of a table of the paper with the runs that reproduce it.

    Args:
        table: "table1" to "table4".
        presets: the presets to compare with, by name.
        records: the runs; those of no preset are left out.
        computed: parameters of the paper's own network for each of its (network, variant, groups).

    Raises:
        ValueError: an unknown table, a row without computed parameters, or the same run twice.
    """
    index = RunIndex(records)
    scales = index.scales(presets, table)
    rows = []
    for key, group in groupby(reported_rows(table), key=lambda row: (row.network, row.variant, row.groups)):
        if key not in computed:
            raise ValueError(f"computed has no parameters for {key}")
        printed = tuple(group)
        row = Row(
            network=printed[0].network,
            variant=printed[0].variant,
            groups=printed[0].groups,
            reported_millions=printed[0].parameters_millions,
            computed=computed[key],
            entries=tuple(_entry(one, scales, index) for one in printed),
        )
        rows.append(row)
    return ComparisonTable(table=table, rows=tuple(rows), scales=scales)


def _entry(row: ReportedRow, scales: Sequence[Scale], index: RunIndex) -> Entry:
    reproductions = []
    for scale in scales:
        if (scale.column.network, scale.column.dataset) == (row.network, row.dataset):
            runs = index.runs(scale.column, row.variant, row.groups)
            errors = [run.test.error_percent for run in runs if run.test is not None]
            mean = mean_interval(errors) if errors else None
            reproductions.append(Reproduction(scale=scale, error_percent=mean, runs=runs))
    return Entry(dataset=row.dataset, reported_percent=row.error_percent, reproductions=tuple(reproductions))
