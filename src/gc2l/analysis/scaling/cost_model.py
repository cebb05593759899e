"""A cost model of the channel-parallel training step: compute of one rank, plus latency and bandwidth of the link.

    step = a FLOPs + b elements + c parameters + d layers  +  calls x latency + received bytes / bandwidth

The first four are one rank's, with a to d fitted to the shares that were timed alone; no overlap is assumed. It is a
model: what it says of networks that nobody ran is a prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from gc2l.records import LinkTime, ScalingRecord, ShareTime, Work


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


# Latencies are typical of NCCL's collectives (software and all), bandwidths the links' nominal ones in one direction.
LINKS = (
    Link(name="PCIe 3 x16", latency=20e-6, bandwidth=15.8e9),
    Link(name="NVLink 4", latency=10e-6, bandwidth=450e9),
    Link(name="100 Gb/s Ethernet", latency=40e-6, bandwidth=12.5e9),
)
"""Named links, by their makers' figures; nobody measured them here."""


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Seconds per unit of work.

    Attributes:
        per_flop, per_element, per_parameter, per_layer: see the module.
        link: the one that was measured; None where no ranks ran together.
        errors: relative error (predicted / measured - 1) of each share that the model was fitted to.
        errors_of_widest: the same for the widest network's shares when the model is fitted to the narrower ones only.
    """

    per_flop: float
    per_element: float
    per_parameter: float
    per_layer: float
    link: Link | None
    errors: tuple[float, ...]
    errors_of_widest: tuple[float, ...]

    def compute_seconds(self, work: Work) -> float:
        """Predicted compute of one rank in one step."""
        return (
            self.per_flop * work.flops
            + self.per_element * work.elements
            + self.per_parameter * work.own_parameters
            + self.per_layer * work.layers
        )

    def step_seconds(self, work: Work, link: Link) -> float:
        """Predicted step over `link`."""
        return self.compute_seconds(work) + link.seconds(work)


def fit_cost_model(record: ScalingRecord) -> CostModel:
    """Fit the model to the measurements of one machine, by non-negative least squares of the relative errors.

    Raises:
        ValueError: fewer than five shares were timed.
    """
    if len(record.shares) < 5:
        raise ValueError(
            f"{len(record.shares)} timed shares do not determine a cost model of four terms; take 5 or more"
        )
    link = _fit_link(record.link)
    widest = max(share.work.widen_factor for share in record.shares)
    narrower = [share for share in record.shares if share.work.widen_factor < widest]
    wide = [share for share in record.shares if share.work.widen_factor == widest]
    extrapolated = _errors(_fit(narrower), wide) if len(narrower) >= 5 else ()
    rates = _fit(record.shares)
    return CostModel(
        per_flop=rates[0],
        per_element=rates[1],
        per_parameter=rates[2],
        per_layer=rates[3],
        link=link,
        errors=_errors(rates, record.shares),
        errors_of_widest=extrapolated,
    )


def _terms(work: Work) -> list[float]:
    return [work.flops, work.elements, work.own_parameters, work.layers]


def _fit(shares: Sequence[ShareTime]) -> list[float]:
    rows = np.array([_terms(share.work) for share in shares], dtype=float)
    seconds = np.array([share.time.seconds for share in shares])
    # Terms of one size each, or the solver loses the small ones.
    scale = rows.max(axis=0)
    solution, _ = nnls(rows / scale / seconds[:, None], np.ones(len(seconds)))
    return [float(value) for value in solution / scale]


def _errors(rates: Sequence[float], shares: Sequence[ShareTime]) -> tuple[float, ...]:
    predicted = (sum(a * b for a, b in zip(rates, _terms(share.work), strict=True)) for share in shares)
    return tuple(value / share.time.seconds - 1 for value, share in zip(predicted, shares, strict=True))


def _fit_link(times: Sequence[LinkTime]) -> Link | None:
    if not times:
        return None
    rows = np.array([[1.0, one.received_bytes] for one in times])
    seconds = np.array([one.time.seconds for one in times])
    scale = rows.max(axis=0)
    (latency, per_byte), _ = nnls(rows / scale / seconds[:, None], np.ones(len(seconds)))
    return Link(name="measured", latency=float(latency), bandwidth=float(scale[1] / per_byte))
