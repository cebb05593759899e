"""The report: verdicts, tables, figures, costs and commands on one HTML page that needs no network."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from gc2l.analysis.claims import Claim, Finding, Verdict, summary
from gc2l.analysis.labels import DATASETS, paper_network_label
from gc2l.analysis.layout import notes, title
from gc2l.analysis.report.costs import preset_costs
from gc2l.analysis.selection import RunIndex
from gc2l.analysis.tables import ComparisonTable, Entry, Reproduction, Row
from gc2l.paper import PARAMETER_DECIMALS
from gc2l.records import Record
from gc2l.variants import VARIANTS

Link = Callable[[Record], str]


def report_page(
    *,
    tables: Sequence[ComparisonTable],
    findings: Sequence[tuple[Claim, tuple[Finding, ...]]],
    figures: Mapping[str, bytes],
    records: Sequence[Record],
    link: Link,
) -> str:
    """Render the page.

    Args:
        tables: Tables 1-4 beside their reproduction.
        findings: every claim with its findings.
        figures: SVG files by name, in the order in which they are shown.
        records: every run.
        link: address of a record's file, relative to the page.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files(__package__) / "page.html.j2").read_text(encoding="utf-8"))
    index = RunIndex(records)
    rows = [dict(zip(("id", "verdict", "scale", "seeds", "effect"), row, strict=True)) for row in summary(findings)]
    return template.render(
        verdicts=Counter({verdict.value: 0 for verdict in Verdict}) + Counter(row["verdict"] for row in rows),
        claims=rows,
        statements={claim.id: (claim.statement, claim.source) for claim, _ in findings},
        tables=[_table(table, index, link) for table in tables],
        figures={name: Markup(_inline(svg)) for name, svg in figures.items()},
        costs=preset_costs(records),
        run_count=len(records),
    )


def _inline(svg: bytes) -> str:
    """An SVG file without its XML prologue, which HTML does not have."""
    text = svg.decode()
    return text[text.index("<svg") :]


def _table(table: ComparisonTable, index: RunIndex, link: Link) -> dict[str, object]:
    networks = dict.fromkeys(row.network for row in table.rows)
    return {
        "name": table.table,
        "title": title(table),
        "notes": notes(table),
        "blocks": [
            {
                "network": paper_network_label(network),
                "headers": _headers(rows[0]),
                "rows": [_row(row, PARAMETER_DECIMALS[table.table], index, link) for row in rows],
            }
            for network in networks
            if (rows := [row for row in table.rows if row.network == network])
        ],
    }


def _headers(row: Row) -> list[dict[str, object]]:
    """One entry for each data set: its name and the presets that have runs for it."""
    return [
        {"dataset": DATASETS[entry.dataset], "presets": [run.scale.preset for run in entry.reproductions]}
        for entry in row.entries
    ]


def _row(row: Row, decimals: int, index: RunIndex, link: Link) -> dict[str, object]:
    return {
        "variant": VARIANTS[row.variant].label,
        "groups": row.groups,
        "reported_millions": f"{row.reported_millions:.{decimals}f}",
        "counted": f"{row.computed.total:,}",
        "per_processor": f"{row.computed.per_processor:,}",
        "entries": [_entry(entry, row, index, link) for entry in row.entries],
    }


def _entry(entry: Entry, row: Row, index: RunIndex, link: Link) -> dict[str, object]:
    return {
        "reported": f"{entry.reported_percent:.2f}",
        "runs": [_reproduction(run, entry, row, index, link) for run in entry.reproductions],
    }


def _reproduction(run: Reproduction, entry: Entry, row: Row, index: RunIndex, link: Link) -> dict[str, object]:
    records = index.runs(run.scale.column, row.variant, row.groups)
    template = run.scale.column.template
    mean, difference = "", ""
    if run.error_percent is not None:
        interval = run.error_percent.interval
        spread = "" if interval is None else f" ± {(interval.high - interval.low) / 2:.2f}"
        mean = f"{run.error_percent.value:.2f}{spread}"
        difference = f"{run.error_percent.value - entry.reported_percent:+.2f}"
    command = (
        f"python experiments/train.py --preset {run.scale.preset} --data.name {template.data.name} "
        f"--model.network {template.model.network} --convolution {row.variant}-n{row.groups} --seed 1"
    )
    return {
        "mean": mean,
        "difference": difference,
        "diverged": run.diverged,
        "links": [{"seed": record.seed, "href": link(record)} for record in records],
        "command": command,
    }
