"""What the paper prints: the rows of its Tables 1-4 (Lee, Park, Lee 2022), read from the CSV files beside this one."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from gc2l.names import unknown
from gc2l.variants import VARIANTS

TABLES = ("table1", "table2", "table3", "table4")
GROUPS = (1, 2, 4, 8, 16)
"""The numbers of groups in Tables 1 and 3; Table 4 stops at 8, Table 2 at 4."""
PARAMETER_DECIMALS = {"table1": 2, "table2": 1, "table3": 2, "table4": 2}
"""Digits after the decimal point of the parameter column, which the CSV files drop where they are zero."""

_NAMES = {variant.label: name for name, variant in VARIANTS.items()}


@dataclass(frozen=True, kw_only=True)
class ReportedRow:
    """One row of a table.

    Attributes:
        table: "table1" to "table4".
        network: the paper's network, such as "wide_resnet_28_10" ("wide_resnet_28_40" in Table 2).
        dataset: "cifar10", "cifar100" or "imagenet".
        variant: a key of `gc2l.variants.VARIANTS`.
        groups: number of groups n.
        parameters_millions: the parameter count in millions, rounded to `PARAMETER_DECIMALS[table]` digits.
        error_percent: top-1 error in percent.
        wall_clock_seconds: training time, Table 2 only.
    """

    table: str
    network: str
    dataset: str
    variant: str
    groups: int
    parameters_millions: float
    error_percent: float
    wall_clock_seconds: float | None = None


@cache
def reported_rows(table: str) -> tuple[ReportedRow, ...]:
    """The rows of `table` in the order of the paper's CSV file.

    Raises:
        ValueError: a table that the paper does not have.
    """
    if table not in TABLES:
        raise unknown("table", table, TABLES)
    with (files(__name__) / f"{table}.csv").open(encoding="utf-8") as stream:
        return tuple(_row(table, fields) for fields in csv.DictReader(stream))


def reported_speedup(widen_factor: int, groups: int) -> float | None:
    """The paper's training time of SC over that of GC-2L with n groups on n GPUs (Table 2)."""
    seconds = {
        row.groups: row.wall_clock_seconds
        for row in reported_rows("table2")
        if row.network == f"wide_resnet_28_{widen_factor}"
    }
    one, many = seconds.get(1), seconds.get(groups)
    return one / many if one and many else None


def _row(table: str, fields: dict[str, str]) -> ReportedRow:
    network = fields["network"]
    if "widen_factor" in fields:  # Table 2 names the family and gives k in a column of its own
        network = network.removesuffix("k") + fields["widen_factor"]
    seconds = fields.get("wall_clock_seconds")
    return ReportedRow(
        table=table,
        network=network,
        dataset=fields["dataset"],
        variant=_NAMES[fields["variant"]],
        groups=int(fields["groups"]),
        parameters_millions=float(fields["parameters_millions"]),
        error_percent=float(fields["error_percent"]),
        wall_clock_seconds=float(seconds) if seconds else None,
    )
