"""Verdicts, as pure functions of estimates; `RULES` describes them for readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from scipy import stats

from gc2l.analysis.statistics import Estimate
from gc2l.records import CONFIDENCE, Interval

MINIMUM_SEEDS = 3
"""With fewer pairs of runs no claim about training is reproduced or contradicted."""

RULES = (
    "Each scale (a preset's stand-in for one network and data set of the paper) has a verdict of its own. A claim "
    "about several data sets holds only if it is reproduced on each of them.",
    "A claim has one part for each n and comparison. A part is reproduced if its 95 % interval (Student t over the "
    "seeds, runs of the same seed paired) lies wholly on the claimed side, contradicted if it lies wholly on the "
    "other side, and else inconclusive. 'At most' and 'as good as' are granted no margin.",
    f"A part with fewer than {MINIMUM_SEEDS} seeds is at most inconclusive, and so is one that involves a diverged "
    "run: that seed has no number, and leaving it out could favour its variant. Equal differences in all seeds show "
    "no spread, as few test images or few seeds make possible, and are inconclusive too.",
    "A claim is reproduced only if every part is; asking all of them needs no correction for multiplicity (an "
    "intersection-union test keeps its level). It is contradicted if a part still is after Holm's correction over all "
    "parts of that scale, also those that are missing or show no spread (one-sided level 2.5 %, that of the interval). "
    "Else it is inconclusive, also when parts are missing. Nothing is corrected across claims or scales, and a single "
    "part that is called reproduced is not corrected for the number of parts.",
    "A slope is that of the test error against log2 n, by least squares in each seed over the n >= 2; the seeds' "
    "slopes are then compared like any other number. 'Pooled' is one line through all seeds' points.",
    "Runs of one seed are compared with each other only where they ran on the same kind of device in the same "
    "precision, on the same images, with batches divided into as many parts; another seed may have run elsewhere. "
    "Where seeds did, the note says so, with the effect over the largest part of them that did not. A seed whose own "
    "runs differ in this is left out.",
    "Where one part alone keeps a claim from being reproduced, the summary says how many more seeds would settle it: "
    "so many that the t test has a power of 80 % (noncentral t), if the true effect and spread are those observed.",
    "What would show is the smallest distance of the true effect from the bound that the test finds with that power "
    "at the seeds of the part, if the spread is that observed. Below a scale's verdict the spread is pooled over its "
    "comparisons, root mean square, and stands beside what the paper's own effects would take.",
    "The intervals hold the spread between seeds on the given test images, not that of other images.",
    "Claims about time (B1, E1, E2) are decided by the ranges or quartiles of the steps or runs of one session, which "
    "are no 95 % intervals and do not hold what differs between sessions.",
)


class Verdict(StrEnum):
    """The verdict on a claim, or on one part of it."""

    REPRODUCED = "reproduced"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    NOT_YET_TESTED = "not yet tested"


@dataclass(frozen=True)
class Claimed:
    """The side of a bound on which a claim places an effect, such as `Claimed("<", 0)`."""

    relation: Literal["<", "<=", ">", ">="]
    bound: float

    def excess(self, value: float) -> float:
        """How far `value` lies beyond the bound: negative on the claimed side, positive on the other."""
        return value - self.bound if self.relation.startswith("<") else self.bound - value

    def holds(self, value: float) -> bool:
        """Whether `value` lies on the claimed side; the bound itself does when the relation has "="."""
        excess = self.excess(value)
        return excess < 0 or (excess == 0 and self.relation.endswith("="))

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One comparison of a claim.

    Attributes:
        name: what is compared, such as "n = 4: GC-2L - GC".
        verdict: of this comparison alone.
        claimed: where the claim places the effect.
        unit: of effect and interval.
        effect: the number; None when there is no evidence.
        interval: its 95 % interval; None for an exact number, or with fewer than two seeds.
        reported: the effect of the paper's own numbers; None where it prints none.
        p_against: one-sided p value against the claimed side, uncorrected; None where chance plays no part or no
            spread is known.
        seeds: those that the number rests on.
        runs: identities of the records that it rests on.
        lacks: the convolutions (variant, n) without a finished run, for which there is no number.
        diverged: whether a run that it should rest on diverged.
        note: what is missing, diverged or further known.
    """

    name: str
    verdict: Verdict
    claimed: Claimed
    unit: str
    effect: float | None = None
    interval: Interval | None = None
    reported: float | None = None
    p_against: float | None = None
    seeds: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    lacks: tuple[tuple[str, int], ...] = ()
    diverged: bool = False
    note: str = ""


def exact_part(name: str, value: float, claimed: Claimed, unit: str, note: str = "") -> Part:
    """A part with a deterministic number."""
    verdict = decide_exactly(value, claimed)
    return Part(name=name, verdict=verdict, claimed=claimed, unit=unit, effect=value, note=note)


def estimated_part(name: str, effect: Estimate, claimed: Claimed, unit: str, *, diverged: bool, **fields: Any) -> Part:
    """A part whose number is estimated over seeds; `fields` are further ones of `Part`."""
    return Part(
        name=name,
        verdict=Verdict.INCONCLUSIVE if diverged else decide(effect, claimed),
        claimed=claimed,
        unit=unit,
        effect=effect.value,
        interval=effect.interval,
        p_against=p_against(effect, claimed),
        diverged=diverged,
        **fields,
    )


def decide(effect: Estimate, claimed: Claimed) -> Verdict:
    """The verdict on one effect, estimated over seeds, from its interval alone: the second and third of `RULES`."""
    if effect.interval is None or effect.count < MINIMUM_SEEDS or not effect.standard_error:
        return Verdict.INCONCLUSIVE
    ends = (effect.interval.low, effect.interval.high)
    if all(claimed.holds(end) for end in ends):
        return Verdict.REPRODUCED
    if all(claimed.excess(end) > 0 for end in ends):
        return Verdict.CONTRADICTED
    return Verdict.INCONCLUSIVE


def decide_exactly(value: float, claimed: Claimed) -> Verdict:
    """The verdict on a deterministic number."""
    return Verdict.REPRODUCED if claimed.holds(value) else Verdict.CONTRADICTED


def p_against(effect: Estimate, claimed: Claimed) -> float | None:
    """The one-sided p value of Student's t against "the effect lies on the claimed side"; None without a spread.

    It is below half of 1 - CONFIDENCE exactly when the interval lies wholly on the other side.
    """
    if not effect.standard_error:
        return None
    return float(stats.t.sf(claimed.excess(effect.value) / effect.standard_error, effect.count - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (1979), in the order given.

    The k-th smallest of m (k = 0, 1, ...) is multiplied by m - k, then raised to its predecessor if that is larger;
    rejecting where the result is at most alpha keeps the chance of any false rejection at alpha.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def combine(parts: Sequence[Part]) -> Verdict:
    """The verdict on a claim from its parts: the fourth of `RULES`.

    Raises:
        ValueError: no parts.
    """
    if not parts:
        raise ValueError("parts is empty: a claim has at least one")
    if all(part.verdict is Verdict.NOT_YET_TESTED for part in parts):
        return Verdict.NOT_YET_TESTED
    if any(_contradicts(part, p) for part, p in zip(parts, holm_of(parts), strict=True)):
        return Verdict.CONTRADICTED
    if all(part.verdict is Verdict.REPRODUCED for part in parts):
        return Verdict.REPRODUCED
    return Verdict.INCONCLUSIVE


def holm_of(parts: Sequence[Part]) -> list[float | None]:
    """Holm's correction of the parts' p values, None for the parts that have none.

    Beside estimated parts these count, too, as if their p value were 1: which cells are finished, and whether seeds
    differ, must not decide how strict the correction is.
    """
    if all(part.p_against is None for part in parts):
        return [None] * len(parts)
    adjusted = holm([1.0 if part.p_against is None else part.p_against for part in parts])
    return [None if part.p_against is None else p for part, p in zip(parts, adjusted, strict=True)]


def _contradicts(part: Part, corrected: float | None) -> bool:
    return part.verdict is Verdict.CONTRADICTED and (corrected is None or corrected < (1 - CONFIDENCE) / 2)
