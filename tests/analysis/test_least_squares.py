"""Fits to made-up times whose truth is known: launch-bound, compute-bound, mixed, and what they cannot show."""

import numpy as np
import pytest

from gc2l.analysis.scaling import fit_times

HOST, FLOP, NUMBER = 0.03, 1.4e-15, 2e-11
WIDTHS = np.array([2.5, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80])


def amounts(widths) -> np.ndarray:
    """Host, FLOPs and numbers written of networks whose work grows with the square and with the width itself."""
    widths = np.asarray(widths, dtype=float)
    return np.stack([np.ones_like(widths), 4e10 * widths**2, 6.2e7 * widths], axis=1)


def device(rows: np.ndarray) -> np.ndarray:
    return FLOP * rows[:, 1] + NUMBER * rows[:, 2]


def noisy(seconds: np.ndarray, error: float, seed: int) -> np.ndarray:
    return seconds * np.exp(error * np.random.default_rng(seed).standard_normal(len(seconds)))


def test_mixed_steps_show_all_costs():
    rows = amounts(WIDTHS)
    seconds = np.maximum(HOST, device(rows))
    assert 0 < (seconds > HOST).sum() < len(seconds)
    fit = fit_times(rows, seconds, asynchronous=True)
    assert fit.terms == (0, 1, 2)
    assert fit.rates == pytest.approx([HOST, FLOP, NUMBER], rel=1e-4)
    assert [fit.predict(row, row).value for row in rows] == pytest.approx(seconds, rel=1e-4)


def test_the_sum_is_another_model():
    rows = amounts(WIDTHS)
    seconds = HOST + device(rows)
    fit = fit_times(rows, seconds, asynchronous=False)
    assert fit.rates == pytest.approx([HOST, FLOP, NUMBER], rel=1e-4)
    assert fit_times(rows, seconds, asynchronous=True).error > 0.01
    mixed = np.maximum(HOST, device(rows))
    assert fit_times(rows, mixed, asynchronous=False).error > 0.01


def test_launch_bound_steps_show_nothing_of_the_device():
    rows = amounts(WIDTHS[:6])
    seconds = noisy(np.full(6, HOST), 0.03, seed=0)
    fit = fit_times(rows, seconds, asynchronous=True)
    assert fit.terms == (0,)
    found = fit.predict(rows[2], rows[2])
    assert found.value == pytest.approx(HOST, rel=0.05)
    assert found.low < HOST < found.high


def test_compute_bound_steps_show_nothing_of_the_host():
    rows = amounts([14, 20, 28, 40, 56, 80])
    fit = fit_times(rows, device(rows), asynchronous=True)
    assert fit.terms == (1, 2)
    assert fit.rates == pytest.approx([FLOP, NUMBER], rel=1e-4)


def test_a_cost_that_noise_hides_is_left_out():
    rows = amounts([20, 28, 40, 56, 80, 80])
    tiny = noisy(FLOP * rows[:, 1] + 1e-3 * NUMBER * rows[:, 2], 0.02, seed=1)
    assert fit_times(rows, tiny, asynchronous=True).terms == (1,)


def test_an_uncertain_amount_widens_the_interval():
    rows = amounts(WIDTHS)
    fit = fit_times(rows, noisy(HOST + device(rows), 0.03, seed=2), asynchronous=False)
    exact, doubtful = fit.predict(rows[5], rows[5]), fit.predict(rows[5] / 2, rows[5] * 2)
    assert doubtful.low == pytest.approx(exact.low / 2)
    assert doubtful.high == pytest.approx(exact.high * 2)


def test_waiting_for_the_link_hides_behind_the_host_only():
    rows = amounts(WIDTHS)
    fit = fit_times(rows, np.maximum(HOST, device(rows)), asynchronous=True)
    small, large = rows[:1], rows[-1:]
    assert fit.predict(small[0], small[0], 0.5 * HOST).value == pytest.approx(HOST, rel=1e-4)
    assert fit.predict(large[0], large[0], 0.5 * HOST).value == pytest.approx(device(large)[0] + HOST / 2, rel=1e-4)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_intervals_hold_new_times_as_often_as_they_say(asynchronous):
    rows = amounts(WIDTHS)
    truth = np.maximum(HOST, device(rows)) if asynchronous else HOST + device(rows)
    held = []
    for seed in range(30):
        fit = fit_times(rows, noisy(truth, 0.05, seed), asynchronous=asynchronous)
        new = noisy(truth, 0.05, seed + 1000)
        intervals = [fit.predict(row, row) for row in rows]
        held += [one.low <= time <= one.high for one, time in zip(intervals, new, strict=True)]
    assert 0.91 <= np.mean(held) <= 0.99


def test_too_few_times_are_refused():
    with pytest.raises(ValueError, match="3 times do not determine the cost of any of 3 terms"):
        fit_times(amounts([1, 2, 3]), np.array([1.0, 2.0, 3.0]), asynchronous=False)
