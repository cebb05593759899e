"""Claims about training runs: A1, A2, A4, B2, C1, C2, C3, D1, each as the comparisons that test it."""

from dataclasses import dataclass

from gc2l.analysis.claims.claim import Claim, Evidence, Finding, ScaleRuns
from gc2l.analysis.claims.comparisons import FINAL_LOSS, TEST_ERROR, Measure, describe, difference, slope_comparison
from gc2l.analysis.claims.verdict import Claimed

BELOW, AT_MOST, ABOVE = Claimed("<", 0), Claimed("<=", 0), Claimed(">", 0)


@dataclass(frozen=True)
class Difference:
    """A measure of `first` minus that of `second` at each n >= 2 of the table, or only at those in `groups`.

    SC has n = 1. `on_imagenet` says whether the claim makes this comparison on ImageNet, too.
    """

    first: str
    second: str
    claimed: Claimed = BELOW
    groups: tuple[int, ...] | None = None
    measure: Measure = TEST_ERROR
    on_imagenet: bool = True


@dataclass(frozen=True)
class Slope:
    """The slope of the error of one variant, or that of a first minus that of a second."""

    variants: tuple[str, ...]
    claimed: Claimed = BELOW


@dataclass(frozen=True)
class AtEveryScale:
    """Evaluates a claim: one finding for each scale of `table` that has a run, `differences` n by n, then `slopes`."""

    table: str
    differences: tuple[Difference, ...] = ()
    slopes: tuple[Slope, ...] = ()

    def __call__(self, evidence: Evidence) -> tuple[Finding, ...]:
        """The findings; one without parts where no scale has a run."""
        if findings := tuple(map(self._finding, evidence.scales(self.table))):
            return findings
        name = self.table.replace("table", "Table ")
        return (Finding(missing=f"training runs for {name}; no preset's column has one"),)

    def _finding(self, runs: ScaleRuns) -> Finding:
        on_imagenet = runs.scale.column.dataset == "imagenet"
        parts = [
            difference(runs, _convolution(row.first, n), _convolution(row.second, n), row.claimed, row.measure)
            for n in runs.groups
            for row in self.differences
            if (row.groups is None or n in row.groups) and (row.on_imagenet or not on_imagenet)
        ]
        parts += [slope_comparison(runs, row.variants, row.claimed) for row in self.slopes]
        lacks = [convolution for part in parts for convolution in part.lacks]
        missing = f"finished runs of {describe(lacks)}" if lacks else ""
        return Finding(scale=runs.scale, parts=tuple(parts), missing=missing)


def _convolution(variant: str, groups: int) -> tuple[str, int]:
    return variant, 1 if variant == "sc" else groups


CLAIMS = (
    Claim(
        id="A1",
        source="Table 1",
        statement="At the same n >= 2 GC-2L errs less than GC, on every data set.",
        test="test error of GC-2L minus that of GC, paired by seed, at each n",
        evaluate=AtEveryScale("table1", (Difference("gc2l", "gc"),)),
    ),
    Claim(
        id="A2",
        source="Table 1",
        statement="GC degrades with n; GC-2L much less.",
        test="slope of GC above 0; slope of GC-2L minus slope of GC, paired by seed, below 0 ('much' is not tested)",
        evaluate=AtEveryScale("table1", slopes=(Slope(("gc",), ABOVE), Slope(("gc2l", "gc")))),
    ),
    Claim(
        id="A4",
        source="Figure 4",
        statement="The final training loss orders as SC <= GC-2L <= GC.",
        test="mean training loss of the last tenth of the epochs (at least one), neighbours paired by seed, at each n",
        evaluate=AtEveryScale(
            "table1",
            (
                Difference("sc", "gc2l", AT_MOST, measure=FINAL_LOSS),
                Difference("gc2l", "gc", AT_MOST, measure=FINAL_LOSS),
            ),
        ),
    ),
    Claim(
        id="B2",
        source="Table 2",
        statement="The error rises by at most 0.4 points from SC to GC-2L with n = 4.",
        test="test error of GC-2L with n = 4 minus that of SC, paired by seed, against 0.4 points",
        evaluate=AtEveryScale("table2", (Difference("gc2l", "sc", Claimed("<=", 0.4), groups=(4,)),)),
    ),
    Claim(
        id="C1",
        source="Table 3, Figure 5",
        statement="GC-2L has the smallest error slope among GC, Shuffle, FLGC and GC-2L.",
        test="slope of GC-2L minus that of each other variant, paired by seed",
        evaluate=AtEveryScale("table3", slopes=tuple(Slope(("gc2l", other)) for other in ("gc", "shuffle", "flgc"))),
    ),
    Claim(
        id="C2",
        source="Table 3",
        statement="Shuffle is as good as or better than GC-2L up to n = 4 (8 on CIFAR); GC-2L is better at n = 16.",
        test="test error of Shuffle minus GC-2L up to that n, and of GC-2L minus Shuffle at n = 16, paired by seed",
        evaluate=AtEveryScale(
            "table3",
            (
                Difference("shuffle", "gc2l", AT_MOST, groups=(2, 4)),
                Difference("shuffle", "gc2l", AT_MOST, groups=(8,), on_imagenet=False),
                Difference("gc2l", "shuffle", groups=(16,)),
            ),
        ),
    ),
    Claim(
        id="C3",
        source="Table 3",
        statement="FLGC is the worst for 3x3 kernels from n = 4 on.",
        test="test error of FLGC minus that of each other variant, paired by seed, at each n >= 4",
        evaluate=AtEveryScale(
            "table3", tuple(Difference("flgc", other, ABOVE, groups=(4, 8, 16)) for other in ("gc", "shuffle", "gc2l"))
        ),
    ),
    Claim(
        id="D1",
        source="Table 4, Figure 7",
        statement="In MobileNetV2 GC-2L has the lowest error of the variants at every n, and the smallest slope.",
        test="test error and slope of GC-2L minus those of each other variant, paired by seed, at each n",
        evaluate=AtEveryScale(
            "table4",
            tuple(Difference("gc2l", other) for other in ("gc", "shuffle", "flgc")),
            tuple(Slope(("gc2l", other)) for other in ("gc", "shuffle", "flgc")),
        ),
    ),
)
