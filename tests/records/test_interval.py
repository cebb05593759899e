import math

import pytest

from gc2l.records import wilson_interval

Z = 1.959963984540054


def closed_form(errors: int, rows: int) -> tuple[float, float]:
    """The two proportions p with |errors/rows - p| = z sqrt(p (1 - p) / rows), from the quadratic formula."""
    share = errors / rows
    a, b, c = 1 + Z**2 / rows, -(2 * share + Z**2 / rows), share**2
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return 100 * (-b - root) / (2 * a), 100 * (-b + root) / (2 * a)


@pytest.mark.parametrize(("errors", "rows"), [(417, 10_000), (1, 10), (5, 10), (0, 50), (50, 50), (36, 360)])
def test_wilson_solves_its_quadratic_equation(errors, rows):
    interval = wilson_interval(errors, rows)
    assert (interval.low, interval.high) == pytest.approx(closed_form(errors, rows), abs=1e-9)


def test_wilson_by_hand_for_no_errors():
    # With no errors the upper end is z^2 / (rows + z^2).
    interval = wilson_interval(0, 10)
    assert (interval.low, interval.high) == (0.0, pytest.approx(100 * Z**2 / (10 + Z**2)))


@pytest.mark.parametrize(("errors", "rows"), [(0, 0), (-1, 10), (11, 10)])
def test_impossible_counts_are_refused(errors, rows):
    with pytest.raises(ValueError, match=r"errors=|rows=0"):
        wilson_interval(errors, rows)
