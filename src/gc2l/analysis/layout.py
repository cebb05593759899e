"""A comparison table as title, notes and blocks of text cells, for every output format."""

from collections.abc import Sequence
from dataclasses import dataclass

from gc2l.analysis.labels import DATASETS, executions_label, mean_text, paper_label, paper_network_label, run_label
from gc2l.analysis.selection import Scale
from gc2l.analysis.tables import ComparisonTable, Reproduction, Row
from gc2l.paper import PARAMETER_DECIMALS
from gc2l.variants import VARIANTS

NOTHING = "-"
"""The cell of a convolution without a run."""

_SUBJECTS = {
    "table1": "standard (SC), group (GC) and two-level group convolution (GC-2L)",
    "table2": "wide networks, one group per processor",
    "table3": "the group convolutions beside each other",
    "table4": "MobileNetV2",
}


@dataclass(frozen=True, kw_only=True)
class Block:
    """The rows of one network.

    Attributes:
        title: the paper's network.
        headers: for each column the quantity (empty for n and variant) and whose number it is.
        rows: the cells as text.
    """

    title: str
    headers: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]


def title(table: ComparisonTable) -> str:
    """One line that names the table."""
    return f"Table {table.table.removeprefix('table')}: {_SUBJECTS[table.table]}"


def notes(table: ComparisonTable) -> tuple[str, ...]:
    """What every column means, and which run stands for which of the paper's."""
    return (
        "Under each data set: top-1 error in percent on the test images after the last epoch. The paper prints one "
        "number, without seeds. A preset's column has the mean over its seeds ± half the 95 % interval (Student t), "
        f"and k, the number of seeds; one seed has no interval, and {NOTHING} has not been run.",
        "Parameters, in millions, are those of the paper's own network (10 classes on CIFAR): as the paper prints "
        "them, as counted from the code, and of these the ones that one of n processors holds.",
        *(_scale_note(table, scale) for scale in table.scales),
    )


def blocks(table: ComparisonTable) -> tuple[Block, ...]:
    """The table in one block per network."""
    decimals = PARAMETER_DECIMALS[table.table]
    return tuple(_block(network, rows, decimals) for network, rows in table.networks().items())


def _scale_note(table: ComparisonTable, scale: Scale) -> str:
    stands_for = paper_label(scale.column.network, scale.column.dataset)
    ran = executions_label(table.executions(scale))
    return f"Preset {scale.preset} in place of {stands_for}: {run_label(scale.column.template)}; {ran}."


def _block(network: str, rows: Sequence[Row], decimals: int) -> Block:
    headers = [("", "n"), ("", "variant"), *(("parameters", name) for name in ("paper", "counted", "per proc."))]
    for entry in rows[0].entries:
        dataset = DATASETS[entry.dataset]
        headers += [(dataset, "paper"), *((dataset, reproduction.scale.preset) for reproduction in entry.reproductions)]
    return Block(
        title=paper_network_label(network),
        headers=tuple(headers),
        rows=tuple(_cells(row, decimals) for row in rows),
    )


def _cells(row: Row, decimals: int) -> tuple[str, ...]:
    cells = [
        str(row.groups),
        VARIANTS[row.variant].label,
        f"{row.reported_millions:.{decimals}f}",
        f"{row.computed.total / 1e6:.{decimals}f}",
        # One more digit: this is the total divided by up to 16.
        f"{row.computed.per_processor / 1e6:.{decimals + 1}f}",
    ]
    for entry in row.entries:
        cells += [f"{entry.reported_percent:.2f}", *(_result(reproduction) for reproduction in entry.reproductions)]
    return tuple(cells)


def _result(reproduction: Reproduction) -> str:
    """For example "5.12 ± 0.31 (k=3)", "5.12 (k=1), 2 of 3 diverged", "3 of 3 diverged"."""
    parts = []
    if reproduction.error_percent is not None:
        parts.append(f"{mean_text(reproduction.error_percent)} (k={reproduction.finished})")
    if reproduction.diverged:
        parts.append(f"{reproduction.diverged} of {reproduction.finished + reproduction.diverged} diverged")
    return ", ".join(parts) or NOTHING
