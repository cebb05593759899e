"""Claims that training runs decide: A1, A2, A4, B2, C1, C2, C3, D1."""

from collections.abc import Callable

from gc2l.analysis.claims.claim import Claim, Evidence, Finding, ScaleRuns
from gc2l.analysis.claims.comparisons import FINAL_LOSS, describe, difference, slope_above, slope_difference
from gc2l.analysis.claims.verdict import Claimed, Part

BELOW = Claimed("<", 0)
AT_MOST = Claimed("<=", 0)
ABOVE = Claimed(">", 0)
SC = ("sc", 1)


def _a1(runs: ScaleRuns) -> list[Part]:
    return [difference(runs, ("gc2l", n), ("gc", n), BELOW) for n in runs.groups]


def _a2(runs: ScaleRuns) -> list[Part]:
    return [slope_above(runs, "gc", ABOVE), slope_difference(runs, "gc2l", "gc", BELOW)]


def _a4(runs: ScaleRuns) -> list[Part]:
    return [
        part
        for n in runs.groups
        for part in (
            difference(runs, SC, ("gc2l", n), AT_MOST, FINAL_LOSS),
            difference(runs, ("gc2l", n), ("gc", n), AT_MOST, FINAL_LOSS),
        )
    ]


def _b2(runs: ScaleRuns) -> list[Part]:
    return [difference(runs, ("gc2l", 4), SC, Claimed("<=", 0.4))]


def _c1(runs: ScaleRuns) -> list[Part]:
    return [slope_difference(runs, "gc2l", other, BELOW) for other in ("gc", "shuffle", "flgc")]


def _c2(runs: ScaleRuns) -> list[Part]:
    last = 4 if runs.scale.column.dataset == "imagenet" else 8
    up_to = [difference(runs, ("shuffle", n), ("gc2l", n), AT_MOST) for n in runs.groups if n <= last]
    return [*up_to, difference(runs, ("gc2l", 16), ("shuffle", 16), BELOW)]


def _c3(runs: ScaleRuns) -> list[Part]:
    return [
        difference(runs, ("flgc", n), (other, n), ABOVE)
        for n in runs.groups
        if n >= 4
        for other in ("gc", "shuffle", "gc2l")
    ]


def _d1(runs: ScaleRuns) -> list[Part]:
    others = ("gc", "shuffle", "flgc")
    lowest = [difference(runs, ("gc2l", n), (other, n), BELOW) for n in runs.groups for other in others]
    return [*lowest, *(slope_difference(runs, "gc2l", other, BELOW) for other in others)]


def _at_every_scale(table: str, parts: Callable[[ScaleRuns], list[Part]]) -> Callable[[Evidence], tuple[Finding, ...]]:
    """The evaluation of a claim that has the same `parts` at every scale of a table."""

    def evaluate(evidence: Evidence) -> tuple[Finding, ...]:
        nothing = Finding(missing=f"training runs for {table.replace('table', 'Table ')}; no preset's column has one")
        return tuple(_finding(runs, parts(runs)) for runs in evidence.scales(table)) or (nothing,)

    return evaluate


def _finding(runs: ScaleRuns, parts: list[Part]) -> Finding:
    lacks = [convolution for part in parts for convolution in part.lacks]
    missing = f"finished runs of {describe(lacks)}" if lacks else ""
    return Finding(scale=runs.scale, parts=tuple(parts), missing=missing)


CLAIMS = (
    Claim(
        id="A1",
        source="Table 1",
        statement="At the same n >= 2 GC-2L errs less than GC, on every data set.",
        test="test error of GC-2L minus that of GC, paired by seed, at each n",
        evaluate=_at_every_scale("table1", _a1),
    ),
    Claim(
        id="A2",
        source="Table 1",
        statement="GC degrades with n; GC-2L much less.",
        test="slope of GC above 0; slope of GC-2L minus slope of GC, paired by seed, below 0 ('much' is not tested)",
        evaluate=_at_every_scale("table1", _a2),
    ),
    Claim(
        id="A4",
        source="Figure 4",
        statement="The final training loss orders as SC <= GC-2L <= GC.",
        test="mean training loss of the last tenth of the epochs (at least one), neighbours paired by seed, at each n",
        evaluate=_at_every_scale("table1", _a4),
    ),
    Claim(
        id="B2",
        source="Table 2",
        statement="The error rises by at most 0.4 points from SC to GC-2L with n = 4.",
        test="test error of GC-2L with n = 4 minus that of SC, paired by seed, against 0.4 points",
        evaluate=_at_every_scale("table2", _b2),
    ),
    Claim(
        id="C1",
        source="Table 3, Figure 5",
        statement="GC-2L has the smallest error slope among GC, Shuffle, FLGC and GC-2L.",
        test="slope of GC-2L minus that of each other variant, paired by seed",
        evaluate=_at_every_scale("table3", _c1),
    ),
    Claim(
        id="C2",
        source="Table 3",
        statement="Shuffle is as good as or better than GC-2L up to n = 4 (8 on CIFAR); GC-2L is better at n = 16.",
        test="test error of Shuffle minus GC-2L up to that n, and of GC-2L minus Shuffle at n = 16, paired by seed",
        evaluate=_at_every_scale("table3", _c2),
    ),
    Claim(
        id="C3",
        source="Table 3",
        statement="FLGC is the worst for 3x3 kernels from n = 4 on.",
        test="test error of FLGC minus that of each other variant, paired by seed, at each n >= 4",
        evaluate=_at_every_scale("table3", _c3),
    ),
    Claim(
        id="D1",
        source="Table 4, Figure 7",
        statement="In MobileNetV2 GC-2L has the lowest error of the variants at every n, and the smallest slope.",
        test="test error and slope of GC-2L minus those of each other variant, paired by seed, at each n",
        evaluate=_at_every_scale("table4", _d1),
    ),
)
