"""The paper's claims and the verdict on each: reproduced, contradicted, inconclusive or not yet tested.

To add a claim, write its `Claim` into the file of its subject. The decision rules stand in `verdict.RULES`.
"""

from gc2l.analysis.claims import exact, inference, parallel, trained_errors, trained_layers
from gc2l.analysis.claims.approximation import approximation_errors
from gc2l.analysis.claims.claim import Claim, Deviation, Evidence, Finding
from gc2l.analysis.claims.network_approximation import Approximation, read_approximations
from gc2l.analysis.claims.report import summary, to_json, to_markdown, to_terminal
from gc2l.analysis.claims.verdict import Verdict

CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (*exact.CLAIMS, *inference.CLAIMS, *parallel.CLAIMS, *trained_errors.CLAIMS, *trained_layers.CLAIMS),
        key=lambda claim: claim.id,
    )
)
"""Every claim, by id."""

__all__ = [
    "CLAIMS",
    "Approximation",
    "Claim",
    "Deviation",
    "Evidence",
    "Finding",
    "Verdict",
    "approximation_errors",
    "evaluate",
    "read_approximations",
    "summary",
    "to_json",
    "to_markdown",
    "to_terminal",
]


def evaluate(evidence: Evidence) -> tuple[tuple[Claim, tuple[Finding, ...]], ...]:
    """Every claim with its findings, one for each scale."""
    return tuple((claim, claim.evaluate(evidence)) for claim in CLAIMS)
