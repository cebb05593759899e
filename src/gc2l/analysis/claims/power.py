"""What the seeds can show, if their spread is that observed: the smallest effect, and the seeds that others take."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize, stats

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
    if part.verdict is not Verdict.INCONCLUSIVE or not _has_spread(part) or len(part.seeds) < MINIMUM_SEEDS:
        return None
    assert part.effect is not None
    count, spread = len(part.seeds), _spread(part)
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


def detectable(part: Part) -> float | None:
    """The smallest distance from the bound that the part's seeds find with the chance `POWER`.

    At the uncorrected level, which is that of a part that is reproduced. None without a spread, and below
    `MINIMUM_SEEDS`, which decide nothing.
    """
    return _smallest(len(part.seeds), _spread(part)) if _has_spread(part) else None


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What the seeds of one scale can show of the effects of one unit.

    Attributes:
        unit: of the effects.
        comparisons: the number of parts that the spread is pooled over.
        spread: standard deviation between seeds, the root mean square weighted by degrees of freedom.
        seeds: the fewest that one of these parts has.
        reported: the smallest and the largest distance from the bound of the paper's own effects, of those that lie on
            the claimed side; None where there are none.
    """

    unit: str
    comparisons: int
    spread: float
    seeds: int
    reported: tuple[float, float] | None

    @property
    def detectable(self) -> float | None:
        """The smallest distance from the bound that `seeds` find with the chance `POWER`; None: they decide nothing."""
        return _smallest(self.seeds, self.spread)

    @property
    def needed(self) -> str:
        """The seeds that the largest and the smallest of the paper's effects take, such as "3 to 26"; "" for none."""
        found = [_seeds_text(seeds_needed(distance, self.spread)) for distance in reversed(self.reported or ())]
        return " to ".join(dict.fromkeys(found))

    def __str__(self) -> str:
        """Two or three sentences."""
        shown = "decide nothing" if self.detectable is None else f"show effects from {self.detectable:.2g} on"
        text = (
            f"Between seeds the effects in {self.unit} have a standard deviation of {self.spread:.2g} (pooled over "
            f"{self.comparisons} comparisons). {self.seeds} seeds {shown}."
        )
        if self.reported is None:
            return text
        low, high = self.reported
        return f"{text} The paper's, of {high:.2g} to {low:.2g}, would take {self.needed} seeds."


def resolutions(finding: Finding) -> Iterator[Resolution]:
    """What the seeds of a finding can show, for each unit of its parts that have a spread."""
    for unit in dict.fromkeys(part.unit for part in finding.parts):
        parts = [part for part in finding.parts if part.unit == unit and _has_spread(part)]
        if not parts:
            continue
        degrees = [len(part.seeds) - 1 for part in parts]
        squares = sum(freedom * _spread(part) ** 2 for part, freedom in zip(parts, degrees, strict=True))
        excesses = [
            part.claimed.excess(part.reported)
            for part in finding.parts
            if part.unit == unit and part.reported is not None
        ]
        distances = [-excess for excess in excesses if excess < 0]
        yield Resolution(
            unit=unit,
            comparisons=len(parts),
            spread=(squares / sum(degrees)) ** 0.5,
            seeds=min(degrees) + 1,
            reported=(min(distances), max(distances)) if distances else None,
        )


def _has_spread(part: Part) -> bool:
    """Whether the part's interval tells the spread between seeds; where runs diverged it leaves out the worst."""
    return part.interval is not None and part.p_against is not None and not part.diverged and len(part.seeds) > 1


def _spread(part: Part) -> float:
    """The standard deviation between seeds that the part's t interval stands for."""
    assert part.interval is not None
    half = (part.interval.high - part.interval.low) / 2
    return half * len(part.seeds) ** 0.5 / float(stats.t.isf(LEVEL, len(part.seeds) - 1))


def _smallest(count: int, spread: float) -> float | None:
    return None if count < MINIMUM_SEEDS else _detectable_spreads(count) * spread


@cache
def _detectable_spreads(count: int) -> float:
    """The smallest distance that `count` seeds find with the chance `POWER`, in standard deviations."""
    bound = stats.t.isf(LEVEL, count - 1)

    def missing(distance: float) -> float:
        return float(stats.nct.sf(bound, count - 1, distance * count**0.5)) - POWER

    return float(optimize.brentq(missing, 0, 20))  # 3.3 for 3 seeds, less for more


def _seeds_text(count: int | None) -> str:
    return f"more than {MOST_SEEDS}" if count is None else f"{count}"
