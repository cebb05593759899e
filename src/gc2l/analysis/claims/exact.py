"""Claims that arithmetic decides, without seeds: A3, A5, B4."""

from collections.abc import Callable

from gc2l.analysis.claims.claim import Claim, Evidence, Finding
from gc2l.analysis.claims.verdict import Claimed, Part, decide_exactly

NETWORK = "wide_resnet_28_10"
_PRINTED_EXTRA_PERCENT = {16: 10.3, 2: 0.5}


def _a3(evidence: Evidence) -> tuple[Finding, ...]:
    """The paper's bounds have one decimal, and so has the number that is held against them."""
    parts = []
    for groups, bound in _PRINTED_EXTRA_PERCENT.items():
        two_level = evidence.parameters[NETWORK, "gc2l", groups]
        group = evidence.parameters[NETWORK, "gc", groups]
        percent = 100 * (two_level / group - 1)
        rounded = round(percent, 1)
        claimed = Claimed("<=", bound)
        part = Part(
            name=f"n = {groups}: parameters of GC-2L beyond those of GC",
            verdict=decide_exactly(rounded, claimed),
            claimed=claimed,
            unit="percent",
            effect=rounded,
            note=f"{two_level:,} and {group:,} parameters, {percent:.3f} % before rounding",
        )
        parts.append(part)
    return (Finding(parts=tuple(parts)),)


def _deviations(claim: str) -> Callable[[Evidence], tuple[Finding, ...]]:
    """The evaluation of a claim that two computations are the same: every deviation within rounding."""

    def evaluate(evidence: Evidence) -> tuple[Finding, ...]:
        parts = []
        for deviation in evidence.deviations[claim]:
            claimed = Claimed("<=", deviation.tolerance)
            part = Part(
                name=deviation.name,
                verdict=decide_exactly(deviation.value, claimed),
                claimed=claimed,
                unit="of the largest output",
                effect=deviation.value,
            )
            parts.append(part)
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
