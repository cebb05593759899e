"""A table of the paper as data: what it prints, what the code counts, what the runs give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from gc2l.analysis.selection import RunIndex, seeds_by_execution
from gc2l.analysis.statistics import Estimate, mean_interval
from gc2l.cells import Column, Preset
from gc2l.paper import ReportedRow, reported_rows
from gc2l.paper.parameter_count import ParameterCount
from gc2l.records import Record


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A preset's stand-in for one network and data set of the paper, of which there are records.

    Attributes:
        preset: the preset's name.
        column: its column.
    """

    preset: str
    column: Column


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The runs of one preset for one printed error.

    Attributes:
        scale: where the runs come from.
        error_percent: mean over the finished seeds with its interval; None when no run has finished.
        finished: number of finished runs.
        diverged: number of diverged runs.
        executions: the seeds of each device and precision.
    """

    scale: Scale
    error_percent: Estimate | None
    finished: int
    diverged: int
    executions: Mapping[str, tuple[int, ...]]


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
    """A table of the paper beside its reproduction.

    Attributes:
        table: "table1" to "table4".
        rows: in the paper's order.
        scales: every preset's column that has at least one record in this table.
    """

    table: str
    rows: tuple[Row, ...]
    scales: tuple[Scale, ...]

    def reproductions(self, scale: Scale) -> list[Reproduction]:
        """Those of one scale, in the order of the rows."""
        entries = (entry for row in self.rows for entry in row.entries)
        return [run for entry in entries for run in entry.reproductions if run.scale == scale]

    def executions(self, scale: Scale) -> dict[str, tuple[int, ...]]:
        """The seeds that one scale has of each device and precision."""
        seeds: dict[str, set[int]] = {}
        for run in self.reproductions(scale):
            for name, of in run.executions.items():
                seeds.setdefault(name, set()).update(of)
        return {name: tuple(sorted(of)) for name, of in seeds.items()}


def comparison_table(
    table: str,
    presets: Mapping[str, Preset],
    records: Sequence[Record],
    *,
    computed: Mapping[tuple[str, str, int], ParameterCount],
) -> ComparisonTable:
    """Set every row of a table of the paper beside the runs that stand for it.

    Args:
        table: "table1" to "table4".
        presets: the presets to compare with, by name.
        records: the runs; those that no preset claims are left out.
        computed: parameters of the paper's own network for each of its (network, variant, groups).

    Raises:
        ValueError: an unknown table, a row without computed parameters, or the same run twice.
    """
    reported = reported_rows(table)
    index = RunIndex(records)
    scales = tuple(
        Scale(preset=name, column=column)
        for name, preset in presets.items()
        for column in preset.columns
        if any(index.runs(column, row.variant, row.groups) for row in reported if _stands_for(column, row))
    )
    rows = tuple(_row(list(printed), scales, index, computed) for _, printed in groupby(reported, key=_key))
    return ComparisonTable(table=table, rows=rows, scales=scales)


def _key(row: ReportedRow) -> tuple[str, str, int]:
    return row.network, row.variant, row.groups


def _stands_for(column: Column, row: ReportedRow) -> bool:
    return (column.network, column.dataset) == (row.network, row.dataset)


def _row(
    printed: list[ReportedRow],
    scales: Sequence[Scale],
    index: RunIndex,
    computed: Mapping[tuple[str, str, int], ParameterCount],
) -> Row:
    first = printed[0]
    if _key(first) not in computed:
        raise ValueError(f"computed has no parameters for {_key(first)}")
    entries = (
        Entry(
            dataset=row.dataset,
            reported_percent=row.error_percent,
            reproductions=tuple(
                _reproduction(scale, index.runs(scale.column, row.variant, row.groups))
                for scale in scales
                if _stands_for(scale.column, row)
            ),
        )
        for row in printed
    )
    return Row(
        network=first.network,
        variant=first.variant,
        groups=first.groups,
        reported_millions=first.parameters_millions,
        computed=computed[_key(first)],
        entries=tuple(entries),
    )


def _reproduction(scale: Scale, runs: Sequence[Record]) -> Reproduction:
    errors = [run.test.error_percent for run in runs if run.test is not None]
    return Reproduction(
        scale=scale,
        error_percent=mean_interval(errors) if errors else None,
        finished=len(errors),
        diverged=len(runs) - len(errors),
        executions=seeds_by_execution(runs),
    )
