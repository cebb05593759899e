"""Least squares for step times: non-negative rates, relative errors, and the range that a new time falls in.

    busy = sum of rate x amount over the terms but the first
    time = max(first, busy)   asynchronous: a device works while its host launches
         = first + busy       otherwise

Rates are fitted as logarithms, so they are positive; the relative weight of a term in a time is then its derivative.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from gc2l.records import CONFIDENCE

Array = NDArray[np.float64]
EXACT = 1e-9
"""Relative error that counts as none."""
LEAST_WEIGHT = 1e-3
"""A term whose share of every time is below this is not visible."""
TOLERANCE = 1e-12
STARTS = (0.0, 0.25, 0.5)
"""Quantiles of the times from which the host's is searched for."""


@dataclass(frozen=True)
class Range:
    """A number, such as a time in seconds, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __add__(self, wait: float) -> "Range":
        return Range(self.value + wait, self.low + wait, self.high + wait)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Rates that fit measured times.

    Attributes:
        terms: indices of the terms that are visible in the times, ascending; the others have no rate.
        rates: seconds per unit, of each of `terms`.
        covariance: of the logarithms of `rates`.
        error: standard deviation of the relative errors, on `degrees` degrees of freedom.
        degrees: times less rates.
        asynchronous: whether a time is the maximum of host and device, or their sum.
    """

    terms: tuple[int, ...]
    rates: Array
    covariance: Array
    error: float
    degrees: int
    asynchronous: bool

    def rate(self, term: int) -> Range:
        """The rate of one of `terms`."""
        place = self.terms.index(term)
        return self._around(float(self.rates[place]), float(np.sqrt(self.covariance[place, place])))

    def predict(self, lowest: Array, highest: Array, wait: float = 0.0) -> Range:
        """The prediction of a new time, with its interval.

        Args:
            lowest, highest: the amounts lie between these, (terms,) each.
            wait: seconds added to the sum of all terms but the first.
        """
        if not self.asynchronous:
            return self.cost(self.terms, lowest, highest) + wait
        host = self.cost((0,), lowest, highest)
        busy = self.cost(range(1, len(lowest)), lowest, highest) + wait
        return Range(max(host.value, busy.value), max(host.low, busy.low), max(host.high, busy.high))

    def cost(self, terms: Iterable[int], lowest: Array, highest: Array) -> Range:
        """The sum of the costs of `terms`; zero where none is visible."""
        rates = np.where(np.isin(self.terms, list(terms)), self.rates, 0.0)
        if not rates.any():
            return Range(0.0, 0.0, 0.0)
        places = list(self.terms)
        ends = [self._around_costs(amounts[places] * rates) for amounts in (lowest, highest)]
        return Range(float(np.sqrt(ends[0].value * ends[1].value)), ends[0].low, ends[1].high)

    def _around_costs(self, costs: Array) -> Range:
        weights = costs / costs.sum()
        return self._around(float(costs.sum()), float(np.sqrt(self.error**2 + weights @ self.covariance @ weights)))

    def _around(self, value: float, error: float) -> Range:
        spread = float(np.exp(stats.t.ppf((1 + CONFIDENCE) / 2, self.degrees) * error))
        return Range(value, value / spread, value * spread)


def fit_times(amounts: Array, seconds: Array, *, asynchronous: bool) -> Fit:
    """Fit the subset of terms with the smallest corrected Akaike criterion.

    Args:
        amounts: (N, terms), positive; the first term is the host's.
        seconds: (N,), positive.
        asynchronous: see the module.

    Raises:
        ValueError: too few times for any choice.
    """
    count, width = amounts.shape
    fits = [
        found
        for size in range(1, min(width, count - 3) + 1)
        for terms in combinations(range(width), size)
        if (found := fit_terms(amounts, seconds, terms, asynchronous=asynchronous))
    ]
    if not fits:
        raise ValueError(f"{count} times do not determine the cost of any of {width} terms")
    return min(fits, key=_akaike)


def fit_terms(amounts: Array, seconds: Array, terms: tuple[int, ...], *, asynchronous: bool) -> Fit | None:
    """Fit exactly these terms; None where one of them is not visible in the times."""
    columns = amounts[:, list(terms)]

    def errors(logarithms: Array) -> Array:
        return np.log(_time(columns * np.exp(logarithms), terms, asynchronous) / seconds)

    first = np.log(np.max(seconds[:, None] / columns, axis=0) / len(terms))
    starts = [first]
    if asynchronous and 0 in terms and len(terms) > 1:
        starts = [np.array([np.log(np.quantile(seconds / columns[:, 0], at)), *first[1:]]) for at in STARTS]
    found = min(
        (optimize.least_squares(errors, start, method="lm", xtol=TOLERANCE, ftol=TOLERANCE) for start in starts),
        key=lambda one: one.cost,
    )
    weights = _weights(columns * np.exp(found.x), terms, asynchronous)
    if np.any(weights.max(axis=0) < LEAST_WEIGHT) or np.linalg.matrix_rank(weights, tol=LEAST_WEIGHT) < len(terms):
        return None
    degrees = len(seconds) - len(terms)
    error = float(np.sqrt(2 * found.cost / degrees))
    return Fit(
        terms=terms,
        rates=np.exp(found.x),
        covariance=np.asarray(error**2 * np.linalg.inv(weights.T @ weights), dtype=np.float64),
        error=error,
        degrees=degrees,
        asynchronous=asynchronous,
    )


def _time(costs: Array, terms: Sequence[int], asynchronous: bool) -> Array:
    if not asynchronous or 0 not in terms:
        return costs.sum(axis=1)
    return np.maximum(costs[:, 0], costs[:, 1:].sum(axis=1))


def _weights(costs: Array, terms: Sequence[int], asynchronous: bool) -> Array:
    """The share of each cost in its time (N, terms), which is the derivative of log time by the log of the rate."""
    if asynchronous and 0 in terms:
        waits = costs[:, 0] >= costs[:, 1:].sum(axis=1)
        of_host = np.arange(len(terms)) == 0
        costs = np.where(waits[:, None] == of_host, costs, 0.0)
    return costs / costs.sum(axis=1, keepdims=True)


def _akaike(fit: Fit) -> float:
    """The corrected Akaike criterion of normal errors; their variance is one more parameter."""
    count, parameters = fit.degrees + len(fit.terms), len(fit.terms) + 1
    variance = max(fit.error, EXACT) ** 2 * fit.degrees / count
    return float(count * np.log(variance) + 2 * parameters * count / (count - parameters - 1))
