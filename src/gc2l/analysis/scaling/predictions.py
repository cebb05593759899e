"""What the cost model predicts for the paper's Table 2: speed-ups from SC to GC-2L on n ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

from gc2l.analysis.scaling.cost_model import LINKS, CostModel, Link, fit_cost_model
from gc2l.paper import reported_speedup
from gc2l.records import ScalingRecord, Work


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A network of Table 2's kind that nobody ran here.

    Attributes:
        widen_factor, groups: the network, GC-2L with n groups on n ranks.
        link: between the ranks.
        compute_seconds: of one rank in one step.
        link_seconds: of one step.
        speedup: of the step over SC on the same hardware, on one rank or split by layers; that is predicted, too.
        ideal: n^2, which is how much less one rank multiplies: 1/n of the arithmetic, shared by n.
        reported: the paper's ratio of training times, None where it has none.
    """

    widen_factor: int
    groups: int
    link: Link
    compute_seconds: float
    link_seconds: float
    speedup: float
    ideal: int
    reported: float | None


def predict_speedups(record: ScalingRecord, links: Sequence[Link] = LINKS) -> list[Prediction]:
    """Predict every planned GC-2L network over every link.

    Raises:
        ValueError: too few measurements to fit the model, or no planned SC to compare with.
    """
    model = fit_cost_model(record)
    standard = {work.widen_factor: work for work in record.planned if work.variant == "sc"}
    found = []
    for work in record.planned:
        if work.variant == "sc":
            continue
        if work.widen_factor not in standard:
            raise ValueError(f"k={work.widen_factor} is planned without SC, to which its speed-up refers")
        found += [_predict(model, work, link, standard[work.widen_factor]) for link in links]
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


def _predict(model: CostModel, work: Work, link: Link, standard: Work) -> Prediction:
    return Prediction(
        widen_factor=work.widen_factor,
        groups=work.groups,
        link=link,
        compute_seconds=model.compute_seconds(work),
        link_seconds=link.seconds(work),
        speedup=model.step_seconds(standard, link) / model.step_seconds(work, link),
        ideal=work.groups**2,
        reported=reported_speedup(work.widen_factor, work.groups),
    )
