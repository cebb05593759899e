"""Grouped spatial pack convolution (Gibson et al. 2020) as TensorIR: computation by tensor expressions, then schedules.

Both blockings compute the same numbers for one image (1, c_in, H, W) or more, and finish with C z, bias and ReLU.

"pack": the published one. The padded input is packed as (n, N, c/ic, H, ic, W), the weights as (n, K/oc, c/ic, k_h,
k_w, ic, oc) with ic and oc the largest divisors up to a vector, the output is (n, N, K/oc, H', W', oc): parallel over
all but the last two, a tile of W' in registers, vectorised over oc.

"row": for few channels in a group, vectorised over the output's pixels. The input is copied once for each column of
the kernel, shifted, so that the rows of a copy are as long as those of the output and what a tap sees is one run of
numbers. A kernel of one pixel is then a small product for each group.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tvm
from tvm import te, tirx
from tvm.s_tir import Schedule

LANES = 16
BLOCKINGS = ("pack", "row")


class Sizes(NamedTuple):
    """Of a convolution: N, c_in, H, W; n, c, K, m for each group; pairs are (vertical, horizontal)."""

    images: int
    height: int
    width: int
    groups: int
    channels: int
    filters: int
    coarse: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]
    relu: bool

    @property
    def rows(self) -> int:
        """Filters of a group with those of r."""
        return self.filters + self.coarse


class Tiles(NamedTuple):
    """Sizes of the blocks: `inputs` and `filters` that are packed together, `vectors` or columns in registers."""

    inputs: int
    filters: int
    columns: int


def default_tiles(sizes: Sizes, blocking: str, lanes: int = LANES) -> Tiles:
    """The largest blocks that divide the sizes and fit the registers."""
    if blocking == "pack":
        filters = _largest_divisor(sizes.rows, lanes)
        return Tiles(_largest_divisor(sizes.channels, lanes), filters, _largest_divisor(sizes.out[1], 16))
    filters = _largest_divisor(sizes.rows, 12)
    return Tiles(1, filters, min(max(1, 24 // filters), -(-sizes.out[0] * sizes.out[1] // lanes)))


def packed_weight_shape(sizes: Sizes, tiles: Tiles) -> tuple[int, ...]:
    """(n, K/oc, c/ic, k_h, k_w, ic, oc)."""
    blocks = sizes.rows // tiles.filters, sizes.channels // tiles.inputs
    return sizes.groups, *blocks, *sizes.kernel, tiles.inputs, tiles.filters


def scheduled(sizes: Sizes, blocking: str, tiles: Tiles, lanes: int = LANES) -> tvm.IRModule:
    """The function main(x, weight, coarse, bias, y); without a coarse level, main(x, weight, bias, y).

    Raises:
        ValueError: an unknown blocking.
    """
    if blocking not in BLOCKINGS:
        raise ValueError(f"blocking={blocking!r} must be one of {', '.join(map(repr, BLOCKINGS))}")
    x = te.placeholder((sizes.images, sizes.groups * sizes.channels, sizes.height, sizes.width), name="x")
    weight = te.placeholder(packed_weight_shape(sizes, tiles), name="weight")
    compute = _packed if blocking == "pack" else _by_rows
    at = compute(sizes, tiles, x, weight, lanes)
    arguments = [x, weight]
    c_out = sizes.groups * sizes.filters
    bias = te.placeholder((c_out,), name="bias")
    shape = (sizes.images, c_out, *sizes.out)
    if sizes.coarse:
        k = sizes.groups * sizes.coarse
        coarse = te.placeholder((c_out, k), name="coarse")
        i = te.reduce_axis((0, k), "i")
        z = te.compute(
            (sizes.images, k, *sizes.out),
            lambda b, i, h, w: at(b, i // sizes.coarse, sizes.filters + i % sizes.coarse, h, w),
            "z",
        )
        added = te.compute(shape, lambda b, o, h, w: te.sum(coarse[o, i] * z[b, i, h, w], i), "added")
        arguments.append(coarse)

    def finished(b: Any, o: Any, h: Any, w: Any) -> Any:
        value = at(b, o // sizes.filters, o % sizes.filters, h, w) + bias[o]
        value = value + added[b, o, h, w] if sizes.coarse else value
        zero = tirx.const(0, "float32")
        return tirx.Select(value < zero, zero, value) if sizes.relu else value  # max() makes 0 of NaN

    y = te.compute(shape, finished, "y")
    function = te.create_prim_func([*arguments, bias, y]).with_attr("global_symbol", "main")
    schedule = Schedule(function.with_attr("tirx.noalias", True))
    (_schedule_packed if blocking == "pack" else _schedule_rows)(schedule, tiles, lanes)
    if sizes.coarse:
        block = schedule.get_sblock("added")
        b, o, h, w, i = schedule.get_loops(block)
        inner = schedule.split(w, [None, min(lanes, sizes.out[1])])
        schedule.reorder(b, o, h, inner[0], i, inner[1])
        schedule.vectorize(inner[1])
        schedule.parallel(schedule.fuse(b, o))
        schedule.decompose_reduction(block, i)
        _row_by_row(schedule, "z", lanes)
    _row_by_row(schedule, "y", lanes)
    return schedule.mod


def _packed(sizes: Sizes, tiles: Tiles, x: Any, weight: Any, _: int) -> Callable[..., Any]:
    """The published computation; returns what reads its output."""
    inputs, filters, _ = tiles
    (k_h, k_w), (s_h, s_w), (d_h, d_w) = sizes.kernel, sizes.stride, sizes.dilation
    padded = (sizes.height + 2 * sizes.padding[0], sizes.width + 2 * sizes.padding[1])
    packed = te.compute(
        (sizes.groups, sizes.images, sizes.channels // inputs, padded[0], inputs, padded[1]),
        lambda g, b, c, h, i, w: _or_zero(sizes, x, b, g * sizes.channels + c * inputs + i, h, w),
        "packed",
    )
    c, i = te.reduce_axis((0, sizes.channels // inputs), "c"), te.reduce_axis((0, inputs), "i")
    u, v = te.reduce_axis((0, k_h), "u"), te.reduce_axis((0, k_w), "v")
    conv = te.compute(
        (sizes.groups, sizes.images, sizes.rows // filters, *sizes.out, filters),
        lambda g, b, o, h, w, f: te.sum(
            packed[g, b, c, h * s_h + u * d_h, i, w * s_w + v * d_w] * weight[g, o, c, u, v, i, f], [c, u, v, i]
        ),
        "conv",
    )
    return lambda b, g, o, h, w: conv[g, b, o // filters, h, w, o % filters]


def _schedule_packed(schedule: Any, tiles: Tiles, lanes: int) -> None:
    packed = schedule.get_sblock("packed")
    loops = schedule.get_loops(packed)
    _vectorize(schedule, loops[-1], lanes)
    schedule.parallel(schedule.fuse(*loops[:3]))
    conv = schedule.get_sblock("conv")
    g, b, o, h, w, f, c, u, v, i = schedule.get_loops(conv)
    outer, inner = schedule.split(w, [None, tiles.columns])
    schedule.reorder(g, b, o, h, outer, c, u, v, i, inner, f)
    registers = schedule.cache_write(conv, 0, "local")
    schedule.reverse_compute_at(registers, outer)
    schedule.vectorize(schedule.get_loops(registers)[-1])
    schedule.unroll(schedule.get_loops(registers)[-2])
    schedule.unroll(inner)
    schedule.vectorize(f)
    schedule.parallel(schedule.fuse(g, b, o, h))
    start = schedule.decompose_reduction(conv, c)
    loops = schedule.get_loops(start)
    schedule.unroll(loops[-2])
    schedule.vectorize(loops[-1])


def _by_rows(sizes: Sizes, tiles: Tiles, x: Any, weight: Any, lanes: int) -> Callable[..., Any]:
    """Vectorised over pixels; rows of the padded image that one tap sees lie together, by their remainder."""
    filters = tiles.filters
    (k_h, k_w), (s_h, s_w), (d_h, d_w) = sizes.kernel, sizes.stride, sizes.dilation
    out_height, out_width = sizes.out
    tile = tiles.columns * lanes
    pixels = -(-out_height * out_width // tile) * tile
    rows = out_height + d_h * (k_h - 1) // s_h
    # Tiles beyond the last pixel read on.
    length = max(rows * out_width, d_h * (k_h - 1) // s_h * out_width + pixels)

    def copied(g: Any, b: Any, c: Any, v: Any, f: Any, at: Any) -> Any:
        row, column = at // out_width, at % out_width
        return _or_zero(sizes, x, b, g * sizes.channels + c, row * s_h + f, column * s_w + v * d_w)

    shifted = te.compute((sizes.groups, sizes.images, sizes.channels, k_w, s_h, length), copied, "packed")
    c = te.reduce_axis((0, sizes.channels), "c")
    u, v = te.reduce_axis((0, k_h), "u"), te.reduce_axis((0, k_w), "v")
    conv = te.compute(
        (sizes.groups, sizes.images, sizes.rows // filters, pixels // tile, filters, tile),
        lambda g, b, o, t, f, p: te.sum(
            shifted[g, b, c, v, u * d_h % s_h, u * d_h // s_h * out_width + t * tile + p] * weight[g, o, c, u, v, 0, f],
            [c, u, v],
        ),
        "conv",
    )

    def read(b: Any, g: Any, o: Any, h: Any, w: Any) -> Any:
        pixel = h * out_width + w
        return conv[g, b, o // filters, pixel // tile, o % filters, pixel % tile]

    return read


def _schedule_rows(schedule: Any, tiles: Tiles, lanes: int) -> None:
    packed = schedule.get_sblock("packed")
    loops = schedule.get_loops(packed)
    _vectorize(schedule, loops[-1], lanes)
    schedule.parallel(schedule.fuse(*loops[:3]))
    conv = schedule.get_sblock("conv")
    g, b, o, t, f, p, c, u, v = schedule.get_loops(conv)
    vectors, lane = schedule.split(p, [None, lanes])
    schedule.reorder(g, b, o, t, c, u, v, f, vectors, lane)
    registers = schedule.cache_write(conv, 0, "local")
    schedule.reverse_compute_at(registers, t)
    filters, pixels = schedule.get_loops(registers)[-2:]
    schedule.unroll(filters)
    _vectorize(schedule, pixels, lanes)
    schedule.unroll(f)
    schedule.unroll(vectors)
    schedule.vectorize(lane)
    schedule.parallel(schedule.fuse(g, b, o))
    start = schedule.decompose_reduction(conv, c)
    *_, f, vectors, lane = schedule.get_loops(start)
    schedule.unroll(f)
    schedule.unroll(vectors)
    schedule.vectorize(lane)


def _row_by_row(schedule: Any, name: str, lanes: int) -> None:
    b, o, _, w = schedule.get_loops(schedule.get_sblock(name))
    _vectorize(schedule, w, lanes)
    schedule.parallel(schedule.fuse(b, o))


def _vectorize(schedule: Any, loop: Any, lanes: int) -> None:
    schedule.vectorize(schedule.split(loop, [None, lanes])[1])


def _or_zero(sizes: Sizes, x: Any, b: Any, c: Any, h: Any, w: Any) -> Any:
    """x at row h and column w of the padded image."""
    top, left = sizes.padding
    inside = tirx.all(h >= top, h < sizes.height + top, w >= left, w < sizes.width + left)
    return tirx.if_then_else(inside, x[b, c, h - top, w - left], tirx.const(0, "float32"))


def _largest_divisor(number: int, most: int) -> int:
    return next(divisor for divisor in range(min(number, most), 0, -1) if number % divisor == 0)
