"""What every convolution has to compute, written as loops over the outputs, straight from the formulas.

Nothing here knows the layers of `gc2l`, or PyTorch: float64 NumPy in, float64 NumPy out. Shapes as in `gc2l.nn`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
Parameters = Mapping[str, Array]

NUMPY_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Stride, padding and dilation as (vertical, horizontal); padding can also be "same" or "valid"."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] | str = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    padding_mode: str = "zeros"


def padded(x: Array, kernel_size: tuple[int, int], geometry: Geometry) -> Array:
    """Pad x (N, c_in, H, W); of an odd "same" padding the larger half goes to the end."""
    if geometry.padding == "valid":
        return x
    widths = []
    for axis in (0, 1):
        if geometry.padding == "same":
            total = geometry.dilation[axis] * (kernel_size[axis] - 1)
            widths.append((total // 2, total - total // 2))
        else:
            widths.append((geometry.padding[axis], geometry.padding[axis]))
    return np.pad(x, [(0, 0), (0, 0), *widths], mode=NUMPY_PAD_MODES[geometry.padding_mode])


def standard(x: Array, weight: Array, geometry: Geometry) -> Array:
    """y = A x: x (N, c_in, H, W), weight (c_out, c_in, k_h, k_w) -> (N, c_out, H', W')."""
    c_out, _, k_h, k_w = weight.shape
    x = padded(x, (k_h, k_w), geometry)
    (s_h, s_w), (d_h, d_w) = geometry.stride, geometry.dilation
    span_h, span_w = d_h * (k_h - 1) + 1, d_w * (k_w - 1) + 1
    height, width = (x.shape[2] - span_h) // s_h + 1, (x.shape[3] - span_w) // s_w + 1
    y = np.zeros((len(x), c_out, height, width))
    for channel in range(c_out):
        for row in range(height):
            for column in range(width):
                top, left = row * s_h, column * s_w
                seen = x[:, :, top : top + span_h : d_h, left : left + span_w : d_w]  # (N, c_in, k_h, k_w)
                y[:, channel, row, column] = (seen * weight[channel]).sum((1, 2, 3))
    return y


def block(values: Array, index: int, count: int, axis: int = 0) -> Array:
    """The part of `values` that belongs to group `index` of `count` along `axis`."""
    return np.split(values, count, axis)[index]


def group(x: Array, weight: Array, groups: int, geometry: Geometry) -> Array:
    """y_j = A_j x_j."""
    fine = [standard(block(x, j, groups, axis=1), block(weight, j, groups), geometry) for j in range(groups)]
    return np.concatenate(fine, axis=1)


def windows(x: Array, weight: Array, starts: list[int], geometry: Geometry) -> Array:
    """Filter o reads the channels starts[o], starts[o] + 1, ..., modulo c_in."""
    y = []
    for filters_, start in zip(weight, starts, strict=True):
        read = [(start + a) % x.shape[1] for a in range(len(filters_))]
        y.append(standard(x[:, read], filters_[None], geometry))
    return np.concatenate(y, axis=1)


def coarse_correction(x: Array, restriction: Array, coarse: Array, groups: int, geometry: Geometry) -> Array:
    """C_j z with z_i = r_i x_i, for all groups j one below the other."""
    representatives = []
    for i in range(groups):
        representatives.append(standard(block(x, i, groups, axis=1), block(restriction, i, groups), geometry))
    corrections = []
    for j in range(groups):
        c_j = block(coarse, j, groups)[:, :, 0, 0]  # (c_out/n, n m)
        correction = 0
        for i, z_i in enumerate(representatives):
            c_ji = block(c_j, i, groups, axis=1)  # (c_out/n, m)
            correction = correction + np.einsum("om,nmhw->nohw", c_ji, z_i)
        corrections.append(correction)
    return np.concatenate(corrections, axis=1)


def shuffled(y: Array, groups: int) -> Array:
    """Channel a of group b goes to place a n + b."""
    result = np.empty_like(y)
    per_group = y.shape[1] // groups
    for b in range(groups):
        for a in range(per_group):
            result[:, a * groups + b] = y[:, b * per_group + a]
    return result


def masked(weight: Array, input_logits: Array, output_logits: Array) -> Array:
    """W times the mask T S^T: a weight counts where the input and the output channel chose the same group."""
    kept = np.zeros_like(weight)
    for o, output_row in enumerate(output_logits):
        for i, input_row in enumerate(input_logits):
            if np.argmax(output_row) == np.argmax(input_row):
                kept[o, i] = weight[o, i]
    return kept


def with_bias(y: Array, parameters: Parameters) -> Array:
    """Add the bias, where there is one."""
    return y + parameters["bias"][:, None, None] if "bias" in parameters else y


def sc(x: Array, p: Parameters, groups: int, geometry: Geometry) -> Array:
    """Standard convolution."""
    assert groups == 1
    return with_bias(standard(x, p["weight"], geometry), p)


def gc(x: Array, p: Parameters, groups: int, geometry: Geometry) -> Array:
    """Group convolution."""
    return with_bias(group(x, p["weight"], groups, geometry), p)


def gc2l(x: Array, p: Parameters, groups: int, geometry: Geometry) -> Array:
    """Two-level group convolution; a weight of more than c_in/n channels reads as many neighbours on both sides."""
    own, c_out = x.shape[1] // groups, len(p["weight"])
    halo = (p["weight"].shape[1] - own) // 2
    starts = [o * groups // c_out * own - halo for o in range(c_out)]
    fine = windows(x, p["weight"], starts, geometry)
    return with_bias(fine + coarse_correction(x, p["restriction_weight"], p["coarse_weight"], groups, geometry), p)


def shuffle(x: Array, p: Parameters, groups: int, geometry: Geometry) -> Array:
    """Group convolution with its bias, then the shuffle of the output."""
    return shuffled(gc(x, p, groups, geometry), groups)


def gc2l_shuffle(x: Array, p: Parameters, groups: int, geometry: Geometry) -> Array:
    """Two-level group convolution with its bias, then the shuffle of the output."""
    return shuffled(gc2l(x, p, groups, geometry), groups)


def scc(x: Array, p: Parameters, groups: int, geometry: Geometry, shared: int = 0) -> Array:
    """Sliding-channel convolution; the windows of consecutive filters have `shared` channels in common."""
    c_out, width = p["weight"].shape[:2]
    assert width * groups == x.shape[1]
    return with_bias(windows(x, p["weight"], [o * (width - shared) for o in range(c_out)], geometry), p)


def flgc(x: Array, p: Parameters, groups: int, geometry: Geometry) -> Array:
    """Fully learnable group convolution."""
    assert p["input_logits"].shape[1] == p["output_logits"].shape[1] == groups
    return with_bias(standard(x, masked(p["weight"], p["input_logits"], p["output_logits"]), geometry), p)


@dataclass(frozen=True, kw_only=True)
class HandMade:
    """A layer of small integers whose output was worked out by hand."""

    groups: int
    parameters: dict[str, Any] = field(default_factory=dict)
    x: Any
    y: Any


def pixels(*rows: list[int]) -> Array:
    """One image of height 1 with one row per channel: (1, c, 1, W)."""
    return np.array(rows, dtype=float)[None, :, None, :]


def filters(*output_channels: list[list[int]]) -> Array:
    """Kernels of height 1, [output channel][input channel][tap]: (c_out, c_in, 1, k_w)."""
    return np.array(output_channels, dtype=float)[:, :, None, :]


def nominal_count(k: tuple[int, int], c_in: int, c_out: int, n: int, m: int) -> int:
    """Weights of a group convolution; m is not needed."""
    return k[0] * k[1] * c_in * c_out // n


def two_level_count(k: tuple[int, int], c_in: int, c_out: int, n: int, m: int) -> int:
    """Those of A, r and C."""
    return nominal_count(k, c_in, c_out, n, m) + m * k[0] * k[1] * c_in + m * n * c_out


def block_fan_out(taps: int, c_out: int, n: int, m: int) -> dict[str, float]:
    """Outputs that an input channel of one group reaches."""
    return {"weight": taps * c_out / n}


def two_level_fan_out(taps: int, c_out: int, n: int, m: int) -> dict[str, float]:
    """A and r together reach c_out/n + m channels, and C all outputs."""
    fused = taps * (c_out / n + m)
    return {"weight": fused, "restriction_weight": fused, "coarse_weight": c_out}


def learnable_fan_out(taps: int, c_out: int, n: int, m: int) -> dict[str, float]:
    """The logits have standard deviation 1, as if their fan_out were 2."""
    return block_fan_out(taps, c_out, n, m) | {"input_logits": 2, "output_logits": 2}


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """What the tests know of a variant.

    Attributes:
        compute: its formula: (x, parameters, groups, geometry) to y.
        hand_made: a case worked out by hand.
        count: the weights that tables count, without bias, from ((k_h, k_w), c_in, c_out, n, m).
        fan_out: of every parameter but the bias the fan_out of its normal initial values, from (k_h k_w, c_out, n, m).
    """

    compute: Callable[..., Array]
    hand_made: HandMade
    count: Callable[[tuple[int, int], int, int, int, int], int] = nominal_count
    fan_out: Callable[[int, int, int, int], dict[str, float]] = block_fan_out


# Every variant of the registry needs an entry here.
ORACLES: Mapping[str, Oracle] = {
    "sc": Oracle(
        compute=sc,
        # 1*1 - 1*2 + 2*3 + 0*4 = 5, and the bias 10
        hand_made=HandMade(
            groups=1,
            parameters={"weight": filters([[1, -1], [2, 0]]), "bias": np.array([10.0])},
            x=pixels([1, 2], [3, 4]),
            y=pixels([15]),
        ),
    ),
    "gc": Oracle(
        compute=gc,
        # A_1 x_1 = 1*1 + 2*4 = 9 and A_2 x_2 = 5 + 6 - 7 = 4, and the biases 1 and -1
        hand_made=HandMade(
            groups=2,
            parameters={"weight": filters([[1, 0], [0, 2]], [[1, 1], [-1, 0]]), "bias": np.array([1.0, -1.0])},
            x=pixels([1, 2], [3, 4], [5, 6], [7, 8]),
            y=pixels([10], [3]),
        ),
    ),
    "gc2l": Oracle(
        compute=gc2l,
        count=two_level_count,
        fan_out=two_level_fan_out,
        # As above, with z_1 = 2 + 3 = 5 and z_2 = 5 - 8 = -3: C_1 z = 5 - 6 = -1 and C_2 z = 15 + 3 = 18
        hand_made=HandMade(
            groups=2,
            parameters={
                "weight": filters([[1, 0], [0, 2]], [[1, 1], [-1, 0]]),
                "restriction_weight": filters([[0, 1], [1, 0]], [[1, 0], [0, -1]]),
                "coarse_weight": filters([[1], [2]], [[3], [-1]]),
                "bias": np.array([1.0, -1.0]),
            },
            x=pixels([1, 2], [3, 4], [5, 6], [7, 8]),
            y=pixels([9], [21]),
        ),
    ),
    "shuffle": Oracle(
        compute=shuffle,
        # group 1: 1 2 3, group 2: 40 50 60, and the biases; then the two groups take turns
        hand_made=HandMade(
            groups=2,
            parameters={
                "weight": filters([[1]], [[2]], [[3]], [[4]], [[5]], [[6]]),
                "bias": np.array([100.0, 200.0, 300.0, 400.0, 500.0, 600.0]),
            },
            x=pixels([1], [10]),
            y=pixels([101], [440], [202], [550], [303], [660]),
        ),
    ),
    "flgc": Oracle(
        compute=flgc,
        fan_out=learnable_fan_out,
        # inputs 1 and 3 and output 1 choose the second group: 1*1 + 3*100 + 7; input 2 and output 2 the first: 5*10 - 7
        hand_made=HandMade(
            groups=2,
            parameters={
                "weight": filters([[1], [2], [3]], [[4], [5], [6]]),
                "input_logits": np.array([[0.0, 1.0], [5.0, 2.0], [-3.0, -1.0]]),
                "output_logits": np.array([[1.0, 2.0], [3.0, 0.0]]),
                "bias": np.array([7.0, -7.0]),
            },
            x=pixels([1], [10], [100]),
            y=pixels([308], [43]),
        ),
    ),
    # windows of 2 of 4 channels, in turn the first and the last two: 1 + 20, 3*3 - 40 = -31, 5 - 2, and the biases
    "scc": Oracle(
        compute=scc,
        hand_made=HandMade(
            groups=2,
            parameters={
                "weight": filters([[1], [10]], [[3], [-10]], [[5], [-1]], [[0], [1]]),
                "bias": np.array([1.0, 0.0, 0.0, -1.0]),
            },
            x=pixels([1], [2], [3], [4]),
            y=pixels([22], [-31], [3], [3]),
        ),
    ),
    # x = 1, 2, 3, 4 and A = 1: fine 1 2 3 4; z = 1, 3; C z = 1, 3, 4, -3; with the biases 12 25 37 41, shuffled
    "gc2l_shuffle": Oracle(
        compute=gc2l_shuffle,
        count=two_level_count,
        fan_out=two_level_fan_out,
        hand_made=HandMade(
            groups=2,
            parameters={
                "weight": filters([[1], [0]], [[0], [1]], [[1], [0]], [[0], [1]]),
                "restriction_weight": filters([[1], [0]], [[1], [0]]),
                "coarse_weight": filters([[1], [0]], [[0], [1]], [[1], [1]], [[0], [-1]]),
                "bias": np.array([10.0, 20.0, 30.0, 40.0]),
            },
            x=pixels([1], [2], [3], [4]),
            y=pixels([12], [37], [25], [41]),
        ),
    ),
}
