import numpy as np
import pytest
import torch
from pytest import approx
from scipy.optimize import minimize

from gc2l.analysis.claims import approximation_errors
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d


def dense(parameters, shape, n, m):
    """The dense weight of a GC-2L layer (m = 0: GC) with these numbers as A, C and r, one entry after the other."""
    c_out, c_in, k_h, k_w = shape
    rows, columns, taps = c_out // n, c_in // n, k_h * k_w
    sizes = [c_out * columns * taps, c_out * n * m, n * m * columns * taps]
    a, c, r = np.split(parameters, np.cumsum(sizes)[:-1])
    a, c, r = a.reshape(n, rows, columns * taps), c.reshape(c_out, n, m), r.reshape(n, m, columns * taps)
    weight = np.zeros((c_out, n, columns * taps))
    for o in range(c_out):
        for i in range(n):
            if o // rows == i:
                weight[o, i] += a[i, o % rows]
            for channel in range(m):
                weight[o, i] += c[o, i, channel] * r[i, channel]
    return weight


def brute_force(weight, n, m):
    """The smallest relative squared error that a general optimiser finds from a few random starts."""
    c_out, c_in, k_h, k_w = weight.shape
    target = weight.reshape(c_out, n, -1)
    count = c_out * (c_in // n) * k_h * k_w + c_out * n * m + n * m * (c_in // n) * k_h * k_w
    random = np.random.default_rng(0)

    def loss(parameters):
        return np.square(dense(parameters, weight.shape, n, m) - target).sum()

    starts = (random.standard_normal(count) for _ in range(4))
    return min(minimize(loss, start, method="BFGS").fun for start in starts) / np.square(weight).sum()


@pytest.mark.parametrize(
    ("shape", "n", "m"), [((4, 4, 1, 1), 2, 1), ((4, 2, 1, 2), 2, 1), ((6, 3, 1, 1), 3, 1), ((6, 4, 1, 1), 2, 2)]
)
def test_no_optimiser_finds_a_better_approximation(shape, n, m):
    weight = np.random.default_rng(3).standard_normal(shape)
    group, two_level = approximation_errors(weight, n, m)
    assert brute_force(weight, n, 0) == approx(group, abs=1e-8)
    assert brute_force(weight, n, m) == approx(two_level, abs=1e-6)


def test_by_hand():
    # All ones: half of the mass lies off the diagonal blocks, and it has rank 1 in each block column.
    assert approximation_errors(np.ones((4, 4, 1, 1)), 2) == approx((0.5, 0.0))
    # The column of group 1 has diag(3, 1) in the rows of group 2: GC loses 9 + 1 of 14, GC-2L the smaller 1.
    weight = np.zeros((4, 4, 1, 1))
    weight[2, 0], weight[3, 1], weight[0, 0] = 3, 1, 2
    assert approximation_errors(weight, 2) == approx((10 / 14, 1 / 14))
    assert approximation_errors(weight, 2, 2) == approx((10 / 14, 0))
    assert approximation_errors(weight, 1) == (0, 0)


def test_the_layers_themselves_are_represented_exactly():
    layer = TwoLevelGroupConv2d(8, 12, 3, groups=4, bias=False, coarse_channels=2, dtype=torch.float64)
    group, two_level = approximation_errors(layer.dense_weight().detach(), 4, 2)
    assert two_level == approx(0, abs=1e-25)
    assert group > 0.01
    # One coarse channel a group is too few for it.
    assert approximation_errors(layer.dense_weight().detach(), 4, 1)[1] > 0.001
    gc = GroupConv2d(8, 12, 3, groups=4, bias=False, dtype=torch.float64)
    assert approximation_errors(gc.dense_weight().detach(), 4) == approx((0, 0), abs=1e-25)


def test_error_grows_with_n_and_the_coarse_level_never_hurts():
    weight = np.random.default_rng(1).standard_normal((32, 16, 3, 3))
    group, two_level = zip(*(approximation_errors(weight, n) for n in (1, 2, 4, 8, 16)), strict=True)
    assert list(group) == sorted(group)
    assert all(two < one for one, two in zip(group[1:], two_level[1:], strict=True))
    # For a Gaussian weight GC keeps 1/n of the mass.
    assert group[1:] == approx([1 / 2, 3 / 4, 7 / 8, 15 / 16], abs=0.03)


@pytest.mark.parametrize(
    ("weight", "groups", "coarse", "message"),
    [
        (np.ones((4, 4)), 2, 1, r"shape \(4, 4\)"),
        (np.ones((4, 6, 1, 1)), 4, 1, "groups=4 must be a divisor of c_out=4 and c_in=6"),
        (np.ones((4, 4, 1, 1)), 0, 1, "groups=0"),
        (np.ones((4, 4, 1, 1)), 2, 0, "coarse_channels=0"),
        (np.zeros((4, 4, 1, 1)), 2, 1, "squared norm of weight is 0"),
        (np.full((4, 4, 1, 1), np.nan), 2, 1, "squared norm of weight is nan"),
    ],
)
def test_bad_input_is_named(weight, groups, coarse, message):
    with pytest.raises(ValueError, match=message):
        approximation_errors(weight, groups, coarse)
