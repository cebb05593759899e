"""The parts of the READMEs that are generated from the records, between HTML comments."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gc2l.analysis.claims import Claim, Finding, Verdict
from gc2l.analysis.claims.power import open_part, resolutions
from gc2l.analysis.claims.report import effect_text
from gc2l.analysis.costs import preset_costs
from gc2l.analysis.labels import (
    dataset_label,
    executions_label,
    mean_text,
    model_label,
    paper_label,
    range_label,
    run_label,
)
from gc2l.analysis.selection import Scale
from gc2l.analysis.tables import ComparisonTable, Reproduction
from gc2l.analysis.text import markdown_grid
from gc2l.records import Record
from gc2l.variants import VARIANTS

Findings = Sequence[tuple[Claim, tuple[Finding, ...]]]
Errors = Mapping[tuple[str, int], str]
"""An error as text for each variant and number of groups."""


def replace_block(text: str, name: str, content: str) -> str:
    """`text` with `content` between the marks <!-- name --> and <!-- end of name -->.

    Raises:
        ValueError: the marks are not there exactly once, one after the other.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the marks {begin.strip()} and {end} must be there once, in this order")
    return f"{text[: text.index(begin)]}{begin}\n{content}\n\n{text[text.index(end) :]}"


def error_grid(table: ComparisonTable) -> str:
    """Errors by variant (down) and n (across): the paper's columns that have runs, each followed by their scales."""
    groups = sorted({row.groups for row in table.rows})
    lines: list[list[str]] = []
    for network, dataset in dict.fromkeys((scale.column.network, scale.column.dataset) for scale in table.scales):
        entries = {
            (row.variant, row.groups): entry
            for row in table.rows
            for entry in row.entries
            if (row.network, entry.dataset) == (network, dataset)
        }
        reported = {key: f"{entry.reported_percent:.2f}" for key, entry in entries.items()}
        lines += _lines(f"paper: {paper_label(network, dataset)}", reported, groups)
        for number, run in enumerate(next(iter(entries.values())).reproductions):
            runs = {key: entry.reproductions[number] for key, entry in entries.items()}
            label = f"`{run.scale.preset}`: {run_label(run.scale.column.template)}, {_seeds(runs.values())}"
            lines += _lines(label, {key: _mean(run) for key, run in runs.items()}, groups)
    headers = ["test error in %", "", *(f"n = {n}" for n in groups)]
    return markdown_grid(lines, headers, right=range(2, len(headers)))


def verdict_table(findings: Findings) -> str:
    """A line for each claim: what it says, and the verdict at every scale."""
    lines = [[claim.id, claim.statement, "; ".join(map(_verdict, found))] for claim, found in findings]
    return markdown_grid(lines, ["", "claim", "verdict"])


def verdict_summary(findings: Findings) -> str:
    """A line for each claim with its verdicts alone: a column for each preset, the last for what needs no training."""
    presets = list(dict.fromkeys(f.scale.preset for _, found in findings for f in found if f.scale is not None))
    lines = []
    for claim, found in findings:
        of_preset: dict[str | None, list[Finding]] = {}
        for finding in found:
            of_preset.setdefault(None if finding.scale is None else finding.scale.preset, []).append(finding)
        lines.append([claim.id, claim.statement, *(_in_short(of_preset.get(of, [])) for of in (*presets, None))])
    headers = ["", "claim", *(f"`{preset}`" for preset in presets), "computed or measured"]
    return markdown_grid(lines, headers)


def contradicted_parts(findings: Findings) -> str:
    """Every comparison whose interval lies wholly on the side that the claim excludes."""
    lines = [
        f"- {claim.id} ({_where(finding.scale)}, {len(part.seeds)} seeds), {part.name}: {effect_text(part)} "
        f"{part.unit}, claimed {part.claimed}. The claim as a whole: {finding.verdict}."
        for claim, found in findings
        for finding in found
        if finding.scale is not None
        for part in finding.parts
        if part.verdict is Verdict.CONTRADICTED
    ]
    return "\n".join(lines) or "None."


def coverage(tables: Sequence[ComparisonTable]) -> str:
    """For each table and scale how many of its cells have been run, and with how many seeds."""
    lines = []
    for table, scale in [(one, scale) for one in tables for scale in one.scales]:
        cells = table.reproductions(scale)
        done = [cell for cell in cells if cell.runs]
        line = [
            table.table.replace("table", "Table "),
            f"`{scale.preset}`",
            run_label(scale.column.template),
            paper_label(scale.column.network, scale.column.dataset),
            f"{len(done)} of {len(cells)}",
            _seeds(done).removeprefix("k = "),
            str(sum(cell.diverged for cell in cells)),
            executions_label(table.executions(scale)),
        ]
        lines.append(line)
    headers = ["table", "preset", "what was run", "in place of", "cells", "seeds", "diverged runs", "on"]
    return markdown_grid(lines, headers, right=(4, 5, 6))


def cost_table(records: Sequence[Record]) -> str:
    """The cost of the runs of each preset."""
    lines = [
        [f"`{cost.preset}`", cost.hardware, cost.execution, cost.seeds, str(cost.runs), f"{cost.hours:.2f}"]
        for cost in preset_costs(records).itertuples()
    ]
    return markdown_grid(lines, ["preset", "hardware", "execution", "seeds", "runs", "hours"], right=(4, 5))


def _lines(label: str, errors: Errors, groups: Sequence[int]) -> Iterator[list[str]]:
    """One line for each variant; the first has the label."""
    for variant in dict.fromkeys(variant for variant, _ in errors):
        yield [label, VARIANTS[variant].label, *(errors.get((variant, n), "") for n in groups)]
        label = ""


def _mean(run: Reproduction) -> str:
    if run.error_percent is None:
        return "diverged" if run.diverged else ""
    return mean_text(run.error_percent)


def _seeds(runs: Iterable[Reproduction]) -> str:
    """The number of seeds that have finished, such as "k = 5" or "k = 1 to 3"; cells without any do not count."""
    return f"k = {range_label((run.finished for run in runs if run.finished), ' to ')}"


def _in_short(found: Sequence[Finding]) -> str:
    """The verdict of some findings, or, where they differ, each with the data sets that it holds for."""
    templates = [finding.scale.column.template for finding in found if finding.scale is not None]
    names = [dataset_label(template) for template in templates]
    if len(set(names)) < len(names):  # several networks on the same images
        names = [f"{model_label(template)} on {name}" for template, name in zip(templates, names, strict=True)]
    verdicts = list(dict.fromkeys(str(finding.verdict) for finding in found))
    if len(verdicts) < 2 or not names:
        return "; ".join(verdicts)
    named = list(zip(names, found, strict=True))
    return "; ".join(f"{', '.join(name for name, of in named if of.verdict == one)}: {one}" for one in verdicts)


def _where(scale: Scale) -> str:
    """The preset, network and data set, such as "`mini` WideResNet-10-4 on CIFAR-10"."""
    template = scale.column.template
    return f"`{scale.preset}` {model_label(template)} on {dataset_label(template)}"


def _verdict(finding: Finding) -> str:
    """For example "**reproduced** (`mini` WideResNet-10-4 on CIFAR-10, 3 seeds)", and the part it hangs on."""
    if not finding.parts:
        return str(finding.verdict)
    where = finding.basis
    undecided = sum(part.verdict is Verdict.INCONCLUSIVE for part in finding.parts)
    if finding.scale is None and undecided:
        where += f"; {undecided} of {len(finding.parts)} parts undecided"
    if finding.missing:
        where += f"; missing: {finding.missing}"
    if finding.scale is not None:
        seeds = f"{range_label(finding.seeds, ' to ')} seed{'' if finding.seeds == (1, 1) else 's'}"
        where = f"{_where(finding.scale)}, {seeds}"
    if hangs := open_part(finding):
        part, found = hangs
        where += f"; {part.name} alone is undecided, {found}"
    elif finding.verdict is Verdict.INCONCLUSIVE:
        needed = [f"{found.needed} seeds in {found.unit}" for found in resolutions(finding) if found.needed]
        where += f"; the paper's effects would take {', '.join(needed)}" if needed else ""
    return f"**{finding.verdict}** ({where})"
