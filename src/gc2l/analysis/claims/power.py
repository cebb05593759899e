"""How many more seeds would decide an undecided part, if effect and spread are those observed."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from gc2l.analysis.claims.claim import Finding
from gc2l.analysis.claims.verdict import MINIMUM_SEEDS, Part, Verdict
from gc2l.records import CONFIDENCE

LEVEL = (1 - CONFIDENCE) / 2
POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The verdict to expect for a part, and how many more seeds it takes; None where `MOST_SEEDS` are too few."""

    verdict: Verdict
    more_seeds: int | None

    def __str__(self) -> str:
        """Such as "about 8 more seeds would settle it (reproduced)"."""
        if self.more_seeds is None:
            return f"{MOST_SEEDS} seeds would not settle it"
        return f"about {self.more_seeds} more seed{'s' * (self.more_seeds != 1)} would settle it ({self.verdict})"


def seeds_needed(distance: float, spread: float, *, level: float = LEVEL) -> int | None:
    """The fewest seeds with which Student's one-sided t test at `level` finds an effect with the chance `POWER`.

    The statistic of n seeds has the noncentral t distribution with n - 1 degrees of freedom and the noncentrality
    distance / spread sqrt(n).

    Args:
        distance: of the true effect from the bound, positive.
        spread: standard deviation between seeds.
        level: of the test.

    Returns:
        None beyond `MOST_SEEDS`.
    """
    counts = np.arange(MINIMUM_SEEDS, MOST_SEEDS + 1)
    bounds = stats.t.isf(level, counts - 1)
    enough = stats.nct.sf(bounds, counts - 1, distance / spread * np.sqrt(counts)) >= POWER
    return int(counts[enough.argmax()]) if enough.any() else None


def outlook(part: Part, parts: int = 1) -> Outlook | None:
    """The outlook of an undecided part, one of `parts` of its claim; None where nothing is known of the spread.

    Against the claim Holm's correction asks for a level `parts` times smaller.
    """
    known = part.effect is not None and part.interval is not None and part.p_against is not None
    if part.verdict is not Verdict.INCONCLUSIVE or not known or len(part.seeds) < MINIMUM_SEEDS or part.diverged:
        return None
    assert part.effect is not None and part.interval is not None
    count = len(part.seeds)
    half = (part.interval.high - part.interval.low) / 2
    spread = half * count**0.5 / float(stats.t.isf(LEVEL, count - 1))
    excess = part.claimed.excess(part.effect)
    good = excess < 0
    needed = seeds_needed(abs(excess), spread, level=LEVEL if good else LEVEL / parts)
    verdict = Verdict.REPRODUCED if good else Verdict.CONTRADICTED
    return Outlook(verdict=verdict, more_seeds=None if needed is None else max(1, needed - count))


def open_part(finding: Finding) -> tuple[Part, Outlook] | None:
    """The only undecided part of a claim whose other parts are reproduced, and its outlook."""
    undecided = [part for part in finding.parts if part.verdict is not Verdict.REPRODUCED]
    if len(undecided) != 1 or len(finding.parts) == 1:
        return None
    found = outlook(undecided[0], len(finding.parts))
    return None if found is None else (undecided[0], found)
