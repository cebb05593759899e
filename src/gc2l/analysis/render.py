"""A comparison table as text: for people (terminal, Markdown, LaTeX) and for programs (CSV)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType

import pandas as pd
from rich import box
from rich.table import Table
from tabulate import LATEX_ESCAPE_RULES

from gc2l.analysis.labels import (
    DATASETS,
    executions_label,
    mean_text,
    model_label,
    paper_label,
    paper_network_label,
    run_label,
)
from gc2l.analysis.selection import Scale
from gc2l.analysis.tables import ComparisonTable, Entry, Reproduction, Row
from gc2l.analysis.text import markdown_grid, terminal_text
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
_LATEX = str.maketrans(LATEX_ESCAPE_RULES)


def title(table: ComparisonTable) -> str:
    """One line that names the table."""
    return f"Table {table.table.removeprefix('table')}: {_SUBJECTS[table.table]}"


def notes(table: ComparisonTable) -> tuple[str, ...]:
    """The meaning of every column, and which run reproduces which of the paper."""
    return (
        "Under each data set: top-1 error in percent on the test images after the last epoch. The paper prints one "
        "number, without seeds. A preset's column has the mean over its seeds ± half the 95 % interval (Student t), "
        f"and k, the number of seeds; one seed has no interval, and {NOTHING} has not been run.",
        "Parameters, in millions, are those of the paper's own network (10 classes on CIFAR): as the paper prints "
        "them, as counted from the code, and of these the ones that one of n processors holds.",
        *(_scale_note(table, scale) for scale in table.scales),
    )


def to_terminal(table: ComparisonTable) -> str:
    """One ruled table for each network and the notes below."""
    ruled = (part for network, cells in _grids(table) for part in ("", _ruled(network, cells)))
    return terminal_text([title(table), *ruled, *notes(table)])


def to_markdown(table: ComparisonTable) -> str:
    """One GitHub table for each network, with the notes below."""
    parts = [f"# {title(table)}"]
    for network, cells in _grids(table):
        headers = [f"{quantity}<br>{whose}" if quantity else whose for quantity, whose in cells]
        numbers = [place for place, (_, whose) in enumerate(cells) if whose != "variant"]
        parts += [f"## {network}", markdown_grid(cells.to_numpy().tolist(), headers, numbers)]
    parts.append("\n".join(f"- {note}" for note in notes(table)))
    return "\n\n".join(parts) + "\n"


def to_latex(table: ComparisonTable) -> str:
    """One `table` environment with a booktabs tabular for each network; needs the booktabs package."""
    caption = " ".join((f"{title(table)}.", *notes(table))).translate(_LATEX)
    tabulars = [f"{network.translate(_LATEX)}\\\\[0.5ex]\n{_tabular(cells)}" for network, cells in _grids(table)]
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{caption}}}",
        f"\\label{{tab:{table.table}}}",
        "\n\n\\bigskip\n".join(tabulars),
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_csv(table: ComparisonTable) -> str:
    """One line for each printed error and preset, in full precision; empty fields where nothing has been run."""
    rows = [
        _csv_fields(table.table, row, entry, run)
        for row in table.rows
        for entry in row.entries
        for run in entry.reproductions or (None,)
    ]
    return pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")


FORMATS: Mapping[str, Callable[[ComparisonTable], str]] = MappingProxyType(
    {"md": to_markdown, "csv": to_csv, "tex": to_latex}
)
"""The renderer for each kind of file that a table is written to."""


def _grids(table: ComparisonTable) -> list[tuple[str, pd.DataFrame]]:
    """Each network with its rows as text; a column's name is its quantity ("" for n and variant) and whose it is."""
    decimals = PARAMETER_DECIMALS[table.table]
    return [(paper_network_label(network), _grid(rows, decimals)) for network, rows in table.networks().items()]


def _grid(rows: Sequence[Row], decimals: int) -> pd.DataFrame:
    names = [("", "n"), ("", "variant"), *(("parameters", name) for name in ("paper", "counted", "per proc."))]
    for entry in rows[0].entries:
        dataset = DATASETS[entry.dataset]
        names += [(dataset, "paper"), *((dataset, reproduction.scale.preset) for reproduction in entry.reproductions)]
    cells = [
        [
            str(row.groups),
            VARIANTS[row.variant].label,
            f"{row.reported_millions:.{decimals}f}",
            f"{row.computed.total / 1e6:.{decimals}f}",
            # One more digit: this is the total divided by up to 16.
            f"{row.computed.per_processor / 1e6:.{decimals + 1}f}",
            *(
                text
                for entry in row.entries
                for text in (f"{entry.reported_percent:.2f}", *map(_result, entry.reproductions))
            ),
        ]
        for row in rows
    ]
    return pd.DataFrame(cells, columns=pd.MultiIndex.from_tuples(names))


def _result(reproduction: Reproduction) -> str:
    """For example "5.12 ± 0.31 (k=3)", "5.12 (k=1), 2 of 3 diverged", "3 of 3 diverged"."""
    parts = []
    if reproduction.error_percent is not None:
        parts.append(f"{mean_text(reproduction.error_percent)} (k={reproduction.finished})")
    if reproduction.diverged:
        parts.append(f"{reproduction.diverged} of {reproduction.finished + reproduction.diverged} diverged")
    return ", ".join(parts) or NOTHING


def _scale_note(table: ComparisonTable, scale: Scale) -> str:
    stands_for = paper_label(scale.column.network, scale.column.dataset)
    ran = executions_label(table.executions(scale))
    return f"Preset {scale.preset} in place of {stands_for}: {run_label(scale.column.template)}; {ran}."


def _ruled(network: str, cells: pd.DataFrame) -> Table:
    table = Table(title=network, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    shown = ""
    for quantity, whose in cells:
        # Columns of one quantity stand together: the first is enough to name it.
        header = f"{'' if quantity == shown else quantity}\n{whose}"
        table.add_column(header, justify="left" if whose == "variant" else "right")
        shown = quantity
    rows = cells.to_numpy().tolist()
    for row, following in zip_longest(rows, rows[1:]):
        table.add_row(*row, end_section=following is not None and following[0] != row[0])
    return table


def _tabular(cells: pd.DataFrame) -> str:
    style = cells.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    alignment = "".join("l" if whose == "variant" else "r" for _, whose in cells)
    return style.to_latex(hrules=True, column_format=alignment, multicol_align="c").rstrip("\n")


def _csv_fields(table: str, row: Row, entry: Entry, run: Reproduction | None) -> dict[str, object]:
    template = run and run.scale.column.template
    error = run and run.error_percent
    interval = error and error.interval
    return {
        "table": table,
        "network": row.network,
        "variant": row.variant,
        "groups": row.groups,
        "reported_parameters_millions": row.reported_millions,
        "parameters": row.computed.total,
        "parameters_per_processor": row.computed.per_processor,
        "dataset": entry.dataset,
        "reported_error_percent": entry.reported_percent,
        "preset": run and run.scale.preset,
        "preset_network": template and model_label(template),
        "preset_dataset": template and template.data.name,
        "preset_epochs": template and template.training.epochs,
        "seeds_finished": run and run.finished,
        "seeds_diverged": run and run.diverged,
        "error_percent": error and error.value,
        "error_percent_low": interval and interval.low,
        "error_percent_high": interval and interval.high,
    }
