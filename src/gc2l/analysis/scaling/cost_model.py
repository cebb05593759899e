"""A cost model of the channel-parallel training step, fitted to the step times of single ranks on one machine.

    device = a FLOPs + b numbers written + c parameters        host = d layers, or a constant

On an accelerator the host launches while the device works, so a step is max(host, device + link). On a CPU one
processor does both, so it is host + device + link. The link takes calls x latency + received bytes / bandwidth.

Costs that the shares do not distinguish are reported and widen the intervals; nothing is predicted outside the measured
range.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import nnls
from scipy.stats import gmean

from gc2l.analysis.scaling.least_squares import Array, Fit, Range, fit_terms, fit_times
from gc2l.records import LinkTime, ScalingRecord, ShareTime, Work

ALIKE = 1.05
"""Two amounts whose ratio varies by no more than this factor over the shares are indistinguishable."""
MARGIN = 1.1
"""A network may lie this far, in each amount, from a mixture of measured shares."""
FEWEST_SHARES = 5

AMOUNTS: dict[str, Callable[[Work], float]] = {
    "layers": lambda work: work.layers,
    "steps": lambda work: 1,
    "FLOPs": lambda work: work.flops,
    "numbers written": lambda work: work.elements,
    "parameters": lambda work: work.own_parameters,
}
HOST = ("layers", "steps")
DEVICE = ("FLOPs", "numbers written", "parameters")


@dataclass(frozen=True, kw_only=True)
class Link:
    """What connects the ranks.

    Attributes:
        name: for tables.
        latency: seconds that a collective takes whatever its size.
        bandwidth: bytes per second that a rank receives.
    """

    name: str
    latency: float
    bandwidth: float

    def seconds(self, work: Work) -> float:
        """Communication of one step."""
        return work.collectives * self.latency + work.received_bytes / self.bandwidth


NO_LINK = Link(name="none", latency=0.0, bandwidth=float("inf"))
# Latencies are typical of NCCL's collectives (software and all), bandwidths the links' nominal ones in one direction.
LINKS = (
    Link(name="PCIe 3 x16", latency=20e-6, bandwidth=15.8e9),
    Link(name="NVLink 4", latency=10e-6, bandwidth=450e9),
    Link(name="100 Gb/s Ethernet", latency=40e-6, bandwidth=12.5e9),
)
"""Links by the figures of their manufacturers; they were not measured here."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """One cost of the model.

    Attributes:
        members: keys of `AMOUNTS`; the shares do not show which of them causes the cost.
        units: of each member in one unit of the first, over the shares.
        rate: seconds per unit of the first; None where the shares do not show such a cost.
    """

    members: tuple[str, ...]
    units: tuple[float, ...]
    rate: Range | None


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """The cost of a training step on one machine.

    Attributes:
        terms: the costs, the host's first.
        link: the measured one; None where no ranks ran jointly.
        fit: to the shares' times.
        error_otherwise: error of the fit with the sum in place of the maximum, or vice versa.
        left_out: for each share the prediction of a model fitted to the others; None where these do not show the same
            costs.
        shares: the measurements that it is fitted to.
    """

    terms: tuple[Term, ...]
    link: Link | None
    fit: Fit
    error_otherwise: float
    left_out: tuple[Range | None, ...]
    shares: tuple[ShareTime, ...] = field(repr=False)

    def predict(self, work: Work, link: Link = NO_LINK) -> Range:
        """One step, with an interval that treats the times of the link as exact.

        Raises:
            ValueError: the network is outside the measured range.
        """
        if reason := self.outside(work):
            raise ValueError(f"k={work.widen_factor}, n={work.groups} is outside the measured range: {reason}")
        return self.fit.predict(*self._amounts(work), link.seconds(work))

    def is_launch_bound(self, share: ShareTime) -> bool:
        """Whether the host's launches may determine a measured step; the device may need less time."""
        if not self.fit.asynchronous:
            return False
        # Where no share shows the host's time, it may still be that of the shortest.
        host = self.fit.cost((0,), *self._amounts(share.work)).high or min(one.time.seconds for one in self.shares)
        return share.time.seconds <= host

    def outside(self, work: Work) -> str:
        """Why nothing is predicted for `work`; empty inside the measured range.

        Inside is what lies within a factor `MARGIN` of a mixture of shares, a weighted geometric mean of their amounts.
        """
        most = max(share.work.layers for share in self.shares)
        if work.layers > most:
            return f"{work.layers} layers, at most {most} measured"
        # Amounts proportional in the shares may differ here; the interval accounts for it.
        names = [term.members[0] for term in self.terms[1:]]
        target = np.log([float(AMOUNTS[name](work)) for name in names])
        points = np.log([[float(AMOUNTS[name](share.work)) for name in names] for share in self.shares])
        lowest, highest = points.min(axis=0), points.max(axis=0)
        for name, value, low, high in zip(names, target, lowest, highest, strict=True):
            if not low - np.log(MARGIN) <= value <= high + np.log(MARGIN):
                return f"{np.exp(value):.2g} {name}, measured {np.exp(low):.2g} to {np.exp(high):.2g}"
        if _distance(points, target) > np.log(MARGIN):
            return f"so many {names[0]} were not measured with so many {' and '.join(names[1:])}"
        return ""

    def _amounts(self, work: Work) -> tuple[Array, Array]:
        """For each term the smallest and the largest amount, in units of its first member, that it may stand for."""
        found = [
            [AMOUNTS[member](work) / unit for member, unit in zip(term.members, term.units, strict=True)]
            for term in self.terms
        ]
        return np.array([min(one) for one in found]), np.array([max(one) for one in found])


def fit_cost_model(record: ScalingRecord) -> CostModel:
    """Fit the model to the measurements of one machine, by least squares of the relative errors.

    Raises:
        ValueError: fewer than five shares were timed.
    """
    if len(record.shares) < FEWEST_SHARES:
        raise ValueError(
            f"{len(record.shares)} timed shares do not determine a cost model; take {FEWEST_SHARES} or more"
        )
    asynchronous = record.device != "cpu"
    works = [share.work for share in record.shares]
    seconds = np.array([share.time.seconds for share in record.shares])
    # The host has one cost: by layers, and where all shares have as many, perhaps by steps.
    groups = [_alike(HOST, works)[0], *_alike(DEVICE, works)]
    amounts = np.array([[AMOUNTS[group[0]](work) for group in groups] for work in works], dtype=float)
    fit = fit_times(amounts, seconds, asynchronous=asynchronous)
    return CostModel(
        terms=tuple(
            Term(
                members=group,
                units=tuple(_ratio(group[0], member, works) for member in group),
                rate=fit.rate(place) if place in fit.terms else None,
            )
            for place, group in enumerate(groups)
        ),
        link=_fit_link(record.link),
        fit=fit,
        error_otherwise=fit_times(amounts, seconds, asynchronous=not asynchronous).error,
        left_out=tuple(_leave_out(amounts, seconds, number, fit) for number in range(len(seconds))),
        shares=record.shares,
    )


def _alike(names: Sequence[str], works: Sequence[Work]) -> list[tuple[str, ...]]:
    """The names of amounts, grouped where they are proportional over all works."""
    groups: list[tuple[str, ...]] = []
    for name in names:
        for place, group in enumerate(groups):
            ratios = [AMOUNTS[name](work) / AMOUNTS[group[0]](work) for work in works]
            if max(ratios) <= ALIKE * min(ratios):
                groups[place] = (*group, name)
                break
        else:
            groups.append((name,))
    return groups


def _ratio(first: str, member: str, works: Sequence[Work]) -> float:
    return float(gmean([AMOUNTS[member](work) / AMOUNTS[first](work) for work in works]))


def _leave_out(amounts: Array, seconds: Array, number: int, fit: Fit) -> Range | None:
    keep = np.arange(len(seconds)) != number
    rest = fit_terms(amounts[keep], seconds[keep], fit.terms, asynchronous=fit.asynchronous)
    return None if rest is None else rest.predict(amounts[number], amounts[number])


def _distance(points: Array, target: Array) -> float:
    """How far, in the coordinate where it is farthest, `target` is from the nearest weighted mean of `points`."""
    # The weights are not negative; a heavy row makes them sum to one.
    heavy = 1e3 * np.abs(points).max()
    weights, _ = nnls(np.vstack([points.T, np.full(len(points), heavy)]), np.append(target, heavy))
    return float(np.abs(weights @ points / weights.sum() - target).max())


def _fit_link(times: Sequence[LinkTime]) -> Link | None:
    if not times:
        return None
    sizes = np.array([[1.0, one.received_bytes] for one in times])
    seconds = np.array([one.time.seconds for one in times])
    scale = sizes.max(axis=0)
    (latency, per_byte), _ = nnls(sizes / scale / seconds[:, None], np.ones(len(seconds)))
    return Link(name="measured", latency=float(latency), bandwidth=float(scale[1] / per_byte))
