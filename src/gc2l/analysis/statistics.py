"""From numbers to estimates with 95 % confidence intervals; `gc2l.records.wilson_interval` has the one for counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from gc2l.records import CONFIDENCE, Interval


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimate from a sample.

    Attributes:
        value: the estimate.
        standard_error: its standard error, 0 when the values are equal but for rounding; None when the sample is too
            small to have one.
        interval: Student's t interval at 95 %; None when the sample is too small to have one.
        count: the number of values in the sample.
    """

    value: float
    standard_error: float | None
    interval: Interval | None
    count: int


def mean_interval(values: Sequence[float]) -> Estimate:
    """The mean of independent values, usually one per seed, with its t interval on len(values) - 1 degrees of freedom.

    One value has neither standard error nor interval.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    sample = _finite("values", values)
    if sample.size < 1:
        raise ValueError("values is empty: there is no mean")
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(value=mean, standard_error=None, interval=None, count=1)
    return _student(mean, float(stats.sem(sample)), degrees=sample.size - 1, count=sample.size)


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The mean of first - second, where first[i] and second[i] belong together, for example by their seed.

    What both share, such as the order of the images, or the machine that a seed ran on, cancels.

    Raises:
        ValueError: samples of unequal length, without values, or with values that are not finite.
    """
    a, b = _finite("first", first), _finite("second", second)
    if a.size != b.size:
        raise ValueError(f"first has {a.size} values and second {b.size}: pairs need as many of each")
    return mean_interval((a - b).tolist())


def slope(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """The slope of the least-squares line through the points (x, y), with its t interval on len(x) - 2 degrees.

    Raises:
        ValueError: fewer than three points, unequal lengths, values that are not finite, or all x the same.
    """
    xs, ys = _finite("x", x), _finite("y", y)
    if xs.size != ys.size:
        raise ValueError(f"x has {xs.size} values and y {ys.size}: points need as many of each")
    if xs.size < 3:
        raise ValueError(f"a slope with an interval needs at least 3 points, got {xs.size}")
    if np.ptp(xs) == 0:
        raise ValueError(f"all x are {xs[0]:g}: the slope is undefined")
    if np.ptp(ys) == 0:  # scipy has no standard error, only nan, for a level line
        return _student(0.0, 0.0, degrees=xs.size - 2, count=xs.size)
    line = stats.linregress(xs, ys)
    return _student(float(line.slope), float(line.stderr), degrees=xs.size - 2, count=xs.size)


def _student(value: float, standard_error: float, *, degrees: int, count: int) -> Estimate:
    # Values that are equal, as error rates of so many images are, may differ in their last bit.
    if standard_error <= 1e-12 * max(1.0, abs(value)):
        standard_error = 0.0
    # Scaled here: scipy's own scale may not be zero.
    low, high = (value + standard_error * float(end) for end in stats.t.interval(CONFIDENCE, degrees))
    interval = Interval(low=low, high=high)
    return Estimate(value=value, standard_error=standard_error, interval=interval, count=count)


def _finite(name: str, values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{name}={array.tolist()} must be a flat list of finite numbers")
    return array
