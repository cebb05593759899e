"""Findings as text: a summary for the terminal, Markdown with every part, JSON for programs."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.table import Table

from gc2l.analysis.claims.claim import Claim, Finding
from gc2l.analysis.claims.power import detectable, open_part, outlook, resolutions
from gc2l.analysis.claims.verdict import RULES, Part, Verdict, holm_of
from gc2l.analysis.labels import estimate_text, range_label, scale_label
from gc2l.analysis.selection import Scale
from gc2l.analysis.text import markdown_grid, terminal_text

Findings = Sequence[tuple[Claim, tuple[Finding, ...]]]

_HEADERS = ("claim", "verdict", "scale", "seeds", "effect (95 % interval), claimed side")


def to_terminal(findings: Findings) -> str:
    """One ruled table: a row for each claim and scale."""
    table = Table(title="The paper's claims", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for header in _HEADERS:
        table.add_column(header, no_wrap=header in ("claim", "verdict", "seeds"))
    for cells in summary(findings):
        table.add_row(*cells)
    return terminal_text([table, _SHOWN, *(f"- {rule}" for rule in RULES)])


def to_markdown(findings: Findings) -> str:
    """The summary, the rules, then every claim with all its parts."""
    parts = ["# The paper's claims", markdown_grid(summary(findings), _HEADERS), _SHOWN]
    parts += ["## How a verdict is reached", "\n".join(f"- {rule}" for rule in RULES)]
    for claim, found in findings:
        parts.append(f"## {claim.id}: {claim.statement}")
        parts.append(f"Source: {claim.source}. Test: {claim.test}.")
        for finding in found:
            parts.append(f"**{finding.verdict}** ({_scale(finding)}; seeds: {_seeds(finding)})")
            if finding.missing:
                parts.append(f"Missing: {finding.missing}.")
            if found_resolutions := " ".join(map(str, resolutions(finding))):
                parts.append(found_resolutions)
            if finding.parts:
                parts.append(markdown_grid(_details(finding), _DETAIL_HEADERS))
    return "\n\n".join(parts) + "\n"


def to_json(findings: Findings) -> str:
    """Everything, in full precision, as a list of claims."""
    content = [
        {name: getattr(claim, name) for name in ("id", "source", "statement", "test")}
        | {"findings": [_finding_fields(finding) for finding in found]}
        for claim, found in findings
    ]
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


_SHOWN = (
    "Of several parts the summary shows the one that decides: a contradicted one if there is one, else an inconclusive "
    "one, and of these the one whose p value speaks most against the claim. Seeds are those of the tested parts."
)
_DETAIL_HEADERS = (
    "part",
    "verdict",
    "effect (95 % interval)",
    "claimed",
    "unit",
    "would show",
    "paper",
    "p against, Holm",
    "seeds",
    "note",
)


def summary(findings: Findings) -> Iterable[tuple[str, ...]]:
    """For each claim and scale: id, verdict, scale, seeds, and the effect that decides."""
    for claim, found in findings:
        for finding in found:
            effect = f"missing: {finding.missing}"
            if (part := _decisive(finding)) is not None:
                effect = f"{part.name}: {effect_text(part)} {part.unit}, claimed {part.claimed}"
                if shown := _detectable_text(part):
                    effect += f", would show from {shown} on"
                if hangs := open_part(finding):
                    effect += f"; all other parts are reproduced, {hangs[1]}"
                if finding.missing:
                    effect += f"; missing: {finding.missing}"
            yield claim.id, finding.verdict.value, _scale(finding), _seeds(finding), effect


def _details(finding: Finding) -> Iterable[tuple[str, ...]]:
    for part, corrected in zip(finding.parts, holm_of(finding.parts), strict=True):
        yield (
            part.name,
            part.verdict.value,
            effect_text(part),
            str(part.claimed),
            part.unit,
            _detectable_text(part),
            "" if part.reported is None else f"{part.reported:.2f}",
            "" if corrected is None else f"{corrected:.2g}",
            ", ".join(map(str, part.seeds)),
            part.note,
        )


def _detectable_text(part: Part) -> str:
    """Two digits of the smallest effect that could have been found, empty where nothing is known of the spread."""
    found = detectable(part)
    return "" if found is None else f"{found:.2g}"


def _decisive(finding: Finding) -> Part | None:
    tested = [part for part in finding.parts if part.effect is not None]
    return max(tested, key=_against, default=None)


def _against(part: Part) -> tuple[bool, bool, float, float]:
    """Sorts parts by how much they speak against the claim; a part without a p value may speak for either side."""
    excess = -math.inf if part.effect is None else part.claimed.excess(part.effect)
    probability = 0.5 if part.p_against is None else part.p_against
    return part.verdict is Verdict.CONTRADICTED, part.verdict is not Verdict.REPRODUCED, -probability, excess


def _scale(finding: Finding) -> str:
    if finding.scale is not None:
        return scale_label(finding.scale)
    return finding.basis if finding.parts else "-"


def _seeds(finding: Finding) -> str:
    return "-" if finding.scale is None else range_label(finding.seeds, "-")


def effect_text(part: Part) -> str:
    """The effect with its interval, such as "-1.00 (-1.50 to -0.50)"."""
    if part.effect is None:
        return "-"
    return estimate_text(part.effect, part.interval)


def _finding_fields(finding: Finding) -> dict[str, Any]:
    corrected = holm_of(finding.parts)
    return {
        "verdict": finding.verdict.value,
        "scale": None if finding.scale is None else _scale_fields(finding.scale),
        "seeds": list(finding.seeds),
        "missing": finding.missing,
        "parts": [_part_fields(part, p, len(corrected)) for part, p in zip(finding.parts, corrected, strict=True)],
    }


def _scale_fields(scale: Scale) -> dict[str, Any]:
    configuration = scale.column.template.configuration()
    return {
        "preset": scale.preset,
        "paper_network": scale.column.network,
        "paper_dataset": scale.column.dataset,
        "network": {name: configuration["model"][name] for name in ("network", "depth", "width")},
        "data": configuration["data"],
        "epochs": configuration["training"]["epochs"],
    }


def _part_fields(part: Part, corrected: float | None, parts: int) -> dict[str, Any]:
    settled = outlook(part, parts)
    return {
        "name": part.name,
        "verdict": part.verdict.value,
        "effect": part.effect,
        "interval": part.interval and [part.interval.low, part.interval.high],
        "unit": part.unit,
        "claimed": [part.claimed.relation, part.claimed.bound],
        "p_against": part.p_against,
        "p_against_holm": corrected,
        "seeds": list(part.seeds),
        "detectable": detectable(part),
        "reported": part.reported,
        "more_seeds": settled and settled.more_seeds,
        "runs": list(part.runs),
        "note": part.note,
    }
