"""Claims that need no training: A3, A5, B4."""

from collections.abc import Callable

from gc2l.analysis.claims.claim import Claim, Evidence, Finding
from gc2l.analysis.claims.verdict import Claimed, exact_part

NETWORK = "wide_resnet_28_10"
_PRINTED_EXTRA_PERCENT = {16: 10.3, 2: 0.5}


def _a3(evidence: Evidence) -> tuple[Finding, ...]:
    """The paper's bounds have one decimal, and so does the number compared with them."""
    parts = []
    for groups, bound in _PRINTED_EXTRA_PERCENT.items():
        two_level, group = (evidence.parameters[NETWORK, variant, groups] for variant in ("gc2l", "gc"))
        percent = 100 * (two_level / group - 1)
        name = f"n = {groups}: parameters of GC-2L beyond those of GC"
        note = f"{two_level:,} and {group:,} parameters, {percent:.3f} % before rounding"
        parts.append(exact_part(name, round(percent, 1), Claimed("<=", bound), "percent", note))
    return (Finding(parts=tuple(parts)),)


def _deviations(claim: str) -> Callable[[Evidence], tuple[Finding, ...]]:
    """The evaluation of a claim that two computations are the same: every deviation within rounding."""

    def evaluate(evidence: Evidence) -> tuple[Finding, ...]:
        parts = (
            exact_part(one.name, one.value, Claimed("<=", one.tolerance), "of the largest output")
            for one in evidence.deviations[claim]
        )
        return (Finding(parts=tuple(parts)),)

    return evaluate


CLAIMS = (
    Claim(
        id="A3",
        source="Table 1",
        statement="The coarse level costs few parameters: at most +10.3 % (n = 16) and +0.5 % (n = 2).",
        test="exact parameter counts of WideResNet-28-10, GC-2L against GC, to one decimal",
        evaluate=_a3,
    ),
    Claim(
        id="A5",
        source="Sections 2-3",
        statement="GC is the block diagonal of SC, and GC-2L with C = 0 is GC.",
        test="outputs of the layers on random input in float64: largest difference within what rounding explains",
        evaluate=_deviations("A5"),
    ),
    Claim(
        id="B4",
        source="Section 3.2",
        statement="r_i and A_i can be computed as one convolution.",
        test="one grouped convolution of c_out/n + 1 filters a group against two separate ones, in float64 "
        "(exactness only, not speed)",
        evaluate=_deviations("B4"),
    ),
)
