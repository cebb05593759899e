"""Predictions of the cost model for Table 2: speed-ups from SC to GC-2L on n ranks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gc2l.analysis.scaling.cost_model import LINKS, NO_LINK, CostModel, Link
from gc2l.analysis.scaling.least_squares import Range
from gc2l.paper import reported_speedup
from gc2l.records import Work


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction for a network of Table 2 that was not run.

    Attributes:
        widen_factor, groups: the network, GC-2L with n groups on n ranks.
        outside: why nothing is predicted; empty otherwise.
        step: of one rank, without the link; None outside.
        speedups: over SC on the same hardware, on one rank or split by layers, by the name of the link; SC's step is
            predicted, too. Empty outside.
        reported: the paper's ratio of training times, None where it has none.
    """

    widen_factor: int
    groups: int
    outside: str
    step: Range | None
    speedups: dict[str, Range]
    reported: float | None

    @property
    def ideal(self) -> int:
        """n^2, which is how much less one rank multiplies: 1/n of the arithmetic, shared by n."""
        return self.groups**2


def predict_speedups(model: CostModel, planned: Sequence[Work], links: Sequence[Link] = LINKS) -> list[Prediction]:
    """Predict every planned GC-2L network over every link.

    Raises:
        ValueError: no planned SC to compare with.
    """
    standard = {work.widen_factor: work for work in planned if work.variant == "sc"}
    found = []
    for work in planned:
        if work.variant == "sc":
            continue
        if work.widen_factor not in standard:
            raise ValueError(f"k={work.widen_factor} is planned without SC, to which its speed-up refers")
        found.append(_predict(model, work, links, standard[work.widen_factor]))
    return found


def baseline_text(planned: Sequence[Work]) -> str:
    """What GC-2L is compared with, such as "SC on 1 rank (k = 40), layers split over 2 ranks (k = 60)"."""
    standard = [work for work in planned if work.variant == "sc"]
    places = (
        f"{'layers split over ' if work.split == 'layers' else ''}{work.ranks} rank{'s' * (work.ranks > 1)} "
        f"(k = {work.widen_factor})"
        for work in standard
    )
    return f"SC on {', '.join(places)}"


def _predict(model: CostModel, work: Work, links: Sequence[Link], standard: Work) -> Prediction:
    of_standard = model.outside(standard)
    outside = model.outside(work) or (of_standard and f"SC: {of_standard}")
    return Prediction(
        widen_factor=work.widen_factor,
        groups=work.groups,
        outside=outside,
        step=None if outside else model.predict(work, NO_LINK),
        speedups={
            link.name: _ratio(model.predict(standard, link), model.predict(work, link))
            for link in (() if outside else links)
        },
        reported=reported_speedup(work.widen_factor, work.groups),
    )


def _ratio(before: Range, after: Range) -> Range:
    """With independent errors: the distances of the ends, as logarithms, add in squares."""
    down = math.hypot(math.log(before.value / before.low), math.log(after.high / after.value))
    up = math.hypot(math.log(before.high / before.value), math.log(after.value / after.low))
    value = before.value / after.value
    return Range(value, value * math.exp(-down), value * math.exp(up))
