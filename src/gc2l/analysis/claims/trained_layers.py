"""Claim A6: how well GC and GC-2L approximate the layers of a trained standard network."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from gc2l.analysis.claims.claim import Claim, Evidence, Finding
from gc2l.analysis.claims.network_approximation import Approximation, by_groups
from gc2l.analysis.claims.verdict import Claimed, Part, estimated_part
from gc2l.analysis.statistics import Estimate, mean_interval, paired_difference
from gc2l.paper import TABLES

ABOVE = Claimed(">", 0)


def _a6(evidence: Evidence) -> tuple[Finding, ...]:
    findings: dict[tuple[str, str], Finding] = {}
    for runs in (runs for table in TABLES for runs in evidence.scales(table)):
        # Tables share their SC runs: only the first table that has them gives a finding.
        network = runs.scale.preset, runs.scale.column.template.identity
        measured = by_groups(evidence.approximations, runs.finished(("sc", 1)).values())
        if measured and network not in findings:
            findings[network] = Finding(scale=runs.scale, parts=_parts(measured))
    nothing = Finding(missing="approximations of recorded SC runs: make approximation, where their weights lie")
    return tuple(findings.values()) or (nothing,)


def _parts(measured: Mapping[int, Sequence[Approximation]]) -> tuple[Part, ...]:
    parts = []
    for before, n in zip((None, *measured), measured, strict=False):
        here = measured[n]
        if before is not None:
            growth = paired_difference([100 * one.gc for one in here], [100 * one.gc for one in measured[before]])
            low, high = (100 * fmean(one.gc for one in measured[groups]) for groups in (before, n))
            random_low, random_high = (100 * fmean(one.random_gc for one in measured[groups]) for groups in (before, n))
            name = f"n = {n}: error of GC - that at n = {before} ({random_high - random_low:.1f} for random weights)"
            parts.append(_part(name, growth, _OF_NORM, here, f"from {low:.2f} % to {high:.2f} %"))
        restored = mean_interval([one.restored_percent for one in here])
        by_chance = fmean(one.random_restored_percent for one in here)
        name = f"n = {n}: share of GC's error that the coarse level restores ({by_chance:.1f} for random weights)"
        parts.append(_part(name, restored, "percent of GC's error", here, _against_chance(here)))
    return tuple(parts)


_OF_NORM = "percent of the squared norm"


def _against_chance(measured: Sequence[Approximation]) -> str:
    """The trained network's share restored, beyond that of random weights."""
    beyond = paired_difference(
        [one.restored_percent for one in measured], [one.random_restored_percent for one in measured]
    )
    interval = "" if beyond.interval is None else f" ({beyond.interval.low:.2f} to {beyond.interval.high:.2f})"
    return f"trained - random weights: {beyond.value:.2f}{interval}"


def _part(name: str, effect: Estimate, unit: str, measured: Sequence[Approximation], note: str) -> Part:
    seeds, runs = tuple(one.seed for one in measured), tuple(one.identity for one in measured)
    return estimated_part(name, effect, ABOVE, unit, diverged=False, seeds=seeds, runs=runs, note=note)


CLAIMS = (
    Claim(
        id="A6",
        source="Section 2",
        statement="Block Jacobi (GC) approximates worse as n grows, and the coarse level restores part of it.",
        test="best approximation, in squared Frobenius norm, of the trained SC layers by GC and by GC-2L, over the "
        "seeds: GC's error grows with each n, the share restored is above 0. Both hold for any weights, for reasons of "
        "algebra: the verdict only says that the computation agrees. What is measured are the sizes, to be read beside "
        "those for random weights of the same shapes and norms",
        evaluate=_a6,
    ),
)
