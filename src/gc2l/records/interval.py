"""Confidence intervals, and the Wilson interval of an error rate."""

from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

CONFIDENCE = 0.95
"""The confidence level of every interval in records and tables."""


class Interval(BaseModel):
    """A confidence interval at `CONFIDENCE`, in the unit of the quantity it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    low: float
    high: float


def wilson_interval(errors: int, rows: int) -> Interval:
    """The Wilson score interval of an error rate, in percent.

    It says how far the error on this many test images may lie from the error on all images of their kind; it does
    not contain the spread between seeds.

    Args:
        errors: wrongly classified images.
        rows: all images.

    Raises:
        ValueError: no rows, or errors outside 0 to rows.
    """
    if rows < 1:
        raise ValueError(f"rows={rows} must be at least 1")
    if not 0 <= errors <= rows:
        raise ValueError(f"errors={errors} must lie between 0 and rows={rows}")
    proportion = binomtest(errors, rows).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(low=100 * float(proportion.low), high=100 * float(proportion.high))
