"""The report: verdicts, figures, tables, costs and commands on one HTML page that needs no network."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from gc2l.analysis import labels, render
from gc2l.analysis.claims import Claim, Finding, Verdict, summary
from gc2l.analysis.costs import preset_costs
from gc2l.analysis.tables import ComparisonTable
from gc2l.paper import PARAMETER_DECIMALS
from gc2l.records import Record
from gc2l.variants import VARIANTS


def report_page(
    *,
    tables: Sequence[ComparisonTable],
    findings: Sequence[tuple[Claim, tuple[Finding, ...]]],
    figures: Mapping[str, bytes],
    records: Sequence[Record],
    link: Callable[[Record], str],
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
    environment.globals |= {"labels": labels, "render": render, "link": link, "variants": VARIANTS}
    template = environment.from_string((files(__package__) / "report.html.j2").read_text(encoding="utf-8"))
    rows = [dict(zip(("id", "verdict", "scale", "seeds", "effect"), row, strict=True)) for row in summary(findings)]
    return template.render(
        verdicts=Counter({verdict.value: 0 for verdict in Verdict}) + Counter(row["verdict"] for row in rows),
        claims=rows,
        statements={claim.id: (claim.statement, claim.source) for claim, _ in findings},
        tables=tables,
        decimals=PARAMETER_DECIMALS,
        # HTML has no XML prologue.
        figures={name: Markup(text[text.index("<svg") :]) for name, svg in figures.items() if (text := svg.decode())},
        costs=list(preset_costs(records).itertuples()),
        run_count=len(records),
    )
