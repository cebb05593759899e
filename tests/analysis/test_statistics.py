import math

import pytest

from gc2l.analysis import mean_interval, paired_difference, slope
from gc2l.records import CONFIDENCE

# Student's t, 97.5 % quantile, closed forms: 1 degree tan(pi 0.475), 2 degrees 0.95 sqrt(2 / (1 - 0.95^2)).
T1 = math.tan(math.pi * CONFIDENCE / 2)
T2 = CONFIDENCE * math.sqrt(2 / (1 - CONFIDENCE**2))


def ends(estimate):
    return estimate.interval.low, estimate.interval.high


def test_mean_of_three_by_hand():
    # 1, 2, 3: standard deviation 1, standard error 1/sqrt(3).
    estimate = mean_interval([1.0, 2.0, 3.0])
    assert (estimate.value, estimate.count) == (2.0, 3)
    assert estimate.standard_error == pytest.approx(1 / math.sqrt(3))
    assert ends(estimate) == pytest.approx((2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)))


def test_mean_of_two_by_hand():
    # 4, 6: standard deviation sqrt(2), standard error 1.
    assert ends(mean_interval([4.0, 6.0])) == pytest.approx((5 - T1, 5 + T1))


def test_one_value_has_no_interval():
    estimate = mean_interval([4.17])
    assert (estimate.value, estimate.standard_error, estimate.interval, estimate.count) == (4.17, None, None, 1)


def test_equal_values_have_an_interval_of_length_zero():
    assert ends(mean_interval([0.5, 0.5, 0.5])) == (0.5, 0.5)


def test_the_difference_is_paired():
    # Differences 1, 2, 3: of values that are far apart, and of values whose order differs between the two samples.
    for first, second in (([11, 102, 1003], [10, 100, 1000]), ([10, 10.5, 9.5], [9, 8.5, 6.5])):
        estimate = paired_difference(first, second)
        assert estimate.value == 2.0
        assert ends(estimate) == pytest.approx((2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)))


def test_slope_of_three_points_by_hand():
    # Line through (0, 0), (1, 2), (2, 1): slope 1/2, intercept 1/2, residuals -1/2, 1, -1/2, their squares sum to 3/2,
    # the x deviations' to 2: standard error sqrt((3/2) / 1 / 2).
    estimate = slope([0, 1, 2], [0, 2, 1])
    assert estimate.value == pytest.approx(0.5)
    assert estimate.standard_error == pytest.approx(math.sqrt(3) / 2)
    assert ends(estimate) == pytest.approx((0.5 - T1 * math.sqrt(3) / 2, 0.5 + T1 * math.sqrt(3) / 2))
    assert estimate.count == 3


def test_slope_of_an_exact_line():
    estimate = slope([1, 2, 3, 4], [5, 3, 1, -1])
    assert ends(estimate) == pytest.approx((-2, -2))


def test_a_level_line_has_slope_zero():
    # scipy has no standard error for it, only nan.
    estimate = slope([1, 1, 2, 3], [2.5, 2.5, 2.5, 2.5])
    assert (estimate.value, estimate.standard_error, ends(estimate), estimate.count) == (0, 0, (0, 0), 4)


def test_differences_that_are_equal_but_for_rounding_have_no_spread():
    # One image of 360 in each of five pairs: these percentages differ by 0.27777777777777768 to 0.2777777777777779.
    first, second = [5, 8, 13, 3, 6], [4, 7, 12, 2, 5]
    estimate = paired_difference([100 * n / 360 for n in first], [100 * n / 360 for n in second])
    assert estimate.standard_error == 0
    assert ends(estimate) == (estimate.value, estimate.value)
    assert estimate.value == pytest.approx(100 / 360)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "values is empty"),
        (lambda: mean_interval([1.0, float("nan")]), "finite"),
        (lambda: mean_interval([[1.0]]), "flat"),
        (lambda: paired_difference([1.0], [1.0, 2.0]), "first has 1 values and second 2"),
        (lambda: slope([1, 2], [1, 2]), "at least 3 points, got 2"),
        (lambda: slope([1, 2, 3], [1, 2]), "x has 3 values and y 2"),
        (lambda: slope([2, 2, 2], [1, 2, 3]), "all x are 2"),
    ],
)
def test_bad_samples_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
