"""The compiled convolutions against plain loops over groups in float64, for shapes that nobody chose."""

import ctypes
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gc2l.edge import copies, kernel, plan, tiles
from gc2l.edge.grouped import GroupedConvolution
from gc2l.ops.geometry import Geometry

needs_library = pytest.mark.skipif(kernel.library() is None, reason="no compiled library, or no AVX-512")
TOLERANCE = 1e-5  # of sums of a few hundred float32 products


def group_by_group(of, x):
    """The definition, with one standard convolution for each group."""
    n = of.geometry.groups
    x = F.pad(x, of.padding, of.padding_mode).double()
    if of.inputs is not None:
        x = torch.stack([x[:, i] if i >= 0 else torch.zeros_like(x[:, 0]) for i in of.inputs.tolist()], 1)
    settings = of.geometry.stride, of.geometry.padding, of.geometry.dilation

    def each(weight):
        pieces = zip(x.chunk(n, 1), weight.double().chunk(n), strict=True)
        return torch.cat([F.conv2d(part, filters, None, *settings) for part, filters in pieces], 1)

    y = each(of.weight)
    if of.coarse is not None:
        y = y + torch.einsum("oi,bihw->bohw", of.coarse.double(), each(of.restriction))
    if of.outputs is not None:
        y = y[:, of.outputs]
    if of.bias is not None:
        y = y + of.bias.double()[:, None, None]
    return y.clamp(min=0) if of.relu else y


def error(found, expected):
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-3))


@st.composite
def convolutions(draw, most_filters=14):
    def pair(low, high):
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    n, channels, filters = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, most_filters))
    m, kernel_size = draw(st.sampled_from((0, 0, 1, 2))), pair(1, 4)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))

    def numbers(*shape):
        return torch.randn(*shape, generator=generator)

    optional = {}
    if draw(st.booleans()):
        optional["bias"] = numbers(n * filters)
    if m:
        optional |= {"restriction": numbers(n * m, channels, *kernel_size), "coarse": numbers(n * filters, n * m)}
    if draw(st.booleans()):
        optional["outputs"] = torch.randperm(n * filters, generator=generator)
    if draw(st.booleans()):
        inputs = torch.randperm(n * channels, generator=generator)
        if draw(st.booleans()) and n * channels > 1:
            inputs[inputs == inputs.argmin()] = -1  # one channel of zeros; the largest number says how many there are
        optional["inputs"] = inputs
    if draw(st.booleans()):
        optional |= {"padding": (1, 0, 2, 1), "padding_mode": "replicate"}
    of = GroupedConvolution(
        weight=numbers(n * filters, channels, *kernel_size),
        geometry=Geometry(pair(1, 3), pair(0, 3), pair(1, 3), n),
        relu=draw(st.booleans()),
        **optional,
    )
    return of, numbers(draw(st.integers(1, 2)), of.c_in, draw(st.integers(10, 20)), draw(st.integers(10, 40)))


@needs_library
@settings(deadline=None, max_examples=120)
@given(convolutions(), st.integers(1, 3))
def test_library_computes_the_definition(drawn, threads):
    of, x = drawn
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = kernel.CompiledKernel(of)(x)
    finally:
        torch.set_num_threads(before)
    expected = group_by_group(of, x)
    assert found.shape == expected.shape
    assert error(found, expected) < TOLERANCE
    assert error(of.formula(x.double()), expected) < 1e-12


@pytest.mark.parametrize("blocking", ["pack", "row"])
@settings(deadline=None, max_examples=3, derandomize=True)
@given(convolutions(most_filters=17))
def test_tvm_computes_the_definition(blocking, drawn):
    pytest.importorskip("tvm")
    from gc2l.edge.tvm_kernel import TvmKernel  # noqa: PLC0415

    of, x = drawn
    assert error(TvmKernel(of, blocking)(x), group_by_group(of, x)) < TOLERANCE


@needs_library
def test_library_keeps_infinities_and_nan_apart():
    weight = torch.eye(4)[:, :, None, None].reshape(2, 2, 4)[:, :, :2].reshape(4, 2, 1, 1).contiguous()
    of = GroupedConvolution(weight=weight, geometry=Geometry(groups=2), relu=True)
    x = torch.tensor([float("nan"), 1, -1, float("inf")]).view(1, 4, 1, 1)
    assert torch.equal(kernel.CompiledKernel(of)(x).isnan(), of.formula(x).isnan())


@needs_library
def test_an_image_smaller_than_the_kernel_is_named():
    of = GroupedConvolution(weight=torch.ones(2, 1, 3, 3), geometry=Geometry(groups=2))
    with pytest.raises(ValueError, match="2 x 5 pixels is smaller than the kernel"):
        kernel.CompiledKernel(of)(torch.ones(1, 2, 2, 5))


def two_level(generator):
    """24 to 40 channels in 2 groups, 3 x 3."""
    weight, restriction = (torch.randn(rows, 12, 3, 3, generator=generator) for rows in (40, 2))
    coarse = torch.randn(40, 2, generator=generator)
    return GroupedConvolution(
        weight=weight, restriction=restriction, coarse=coarse, geometry=Geometry(padding=(1, 1), groups=2)
    )


def test_shapes_share_the_packed_weights(monkeypatch):
    made = []

    def pack(filters, blocks):
        made.append((tuple(filters.shape), blocks))
        return tiles.packed(filters, blocks)

    monkeypatch.setattr(plan, "packed", pack)
    of, shared = two_level(torch.Generator().manual_seed(0)), {}
    plans = [plan.Plan(of, shared, (1, 24, side, side)) for side in range(3, 40)]
    assert len(made) == len(set(made)) == len(shared) < len(plans) / 3
    addresses = {found for one in plans for found in (one._sizes.own.weights, one._sizes.coarse.weights)}
    assert addresses == {weights.data_ptr() for weights in shared.values()}


@needs_library
def test_many_shapes_take_bounded_memory():
    generator = torch.Generator().manual_seed(0)
    of, shapes = two_level(generator), [(height, width) for height in range(3, 9) for width in (7, 8, 33)]
    convolve = kernel.CompiledKernel(of)
    for shape in [*shapes, *shapes[:3], *reversed(shapes)]:
        x = torch.randn(1, 24, *shape, generator=generator)
        assert error(convolve(x), group_by_group(of, x)) < TOLERANCE
        assert convolve.plan.cache_info().currsize <= kernel.SHAPES
    hits = convolve.plan.cache_info().hits
    convolve(x)
    assert convolve.plan.cache_info().hits == hits + 1


def test_many_shapes_take_bounded_memory_in_tvm(monkeypatch):
    pytest.importorskip("tvm")
    from gc2l.edge import tvm_kernel  # noqa: PLC0415

    packed, pack = [], tvm_kernel.pack

    def counted(*given):
        packed.append(pack(*given))
        return packed[-1]

    monkeypatch.setattr(tvm_kernel, "_compiled", lambda *_: None)  # a second for each
    monkeypatch.setattr(tvm_kernel, "pack", counted)
    convolve = tvm_kernel.TvmKernel(two_level(torch.Generator().manual_seed(0)))
    first = {convolve.prepared((1, 24, side, 20)).tensors[0].data_ptr() for side in range(3, 40)}
    assert convolve.prepared.cache_info().currsize == kernel.SHAPES
    assert first == {packed[0].data_ptr()} and len(packed) == 1


# How the input is read: kernel, stride, padding, dilation, size.
LAYOUTS = [
    (copies.DIRECT, (1, 1), (1, 1), (0, 0), (1, 1), (7, 7)),
    (copies.BY_ROW, (3, 3), (1, 1), (1, 1), (1, 1), (6, 32)),
    (copies.BY_ROW, (2, 3), (3, 1), (0, 2), (2, 2), (11, 47)),
    (copies.BY_COLUMN, (3, 3), (1, 1), (1, 1), (1, 1), (8, 8)),
    (copies.BY_COLUMN, (3, 3), (2, 2), (1, 1), (1, 1), (32, 32)),
    (copies.BY_COLUMN, (1, 1), (2, 2), (0, 0), (1, 1), (16, 16)),
    (copies.BY_COLUMN, (4, 2), (3, 3), (2, 1), (1, 3), (9, 20)),
    (copies.BY_COLUMN, (1, 1), (1, 5), (0, 0), (1, 1), (4, 90)),  # a vector takes from more than two runs of 16
]


@needs_library
@pytest.mark.parametrize(("channels", "filters"), [(1, 1), (3, 29), (40, 14)])
@pytest.mark.parametrize(("layout", "kernel_size", "stride", "padding", "dilation", "size"), LAYOUTS)
def test_every_layout(layout, kernel_size, stride, padding, dilation, size, channels, filters):
    geometry = Geometry(stride, padding, dilation, 2)
    assert copies.copy_of(geometry, kernel_size, size, True).layout == layout
    generator = torch.Generator().manual_seed(0)
    weight, restriction = (torch.randn(2 * rows, channels, *kernel_size, generator=generator) for rows in (filters, 1))
    coarse = torch.randn(2 * filters, 2, generator=generator)
    of = GroupedConvolution(weight=weight, restriction=restriction, coarse=coarse, geometry=geometry)
    x = torch.randn(1, 2 * channels, *size, generator=generator)
    assert error(kernel.CompiledKernel(of)(x), group_by_group(of, x)) < TOLERANCE


class Piece(ctypes.Structure):
    """The struct `piece` of grouped.c."""

    _fields_ = (
        ("runs", ctypes.c_long * 2),
        ("in_image", ctypes.c_uint16 * 2),
        ("seen", ctypes.c_uint16),
        ("many", ctypes.c_uint16),
        ("from", ctypes.c_int32 * tiles.LANES),
    )


def test_copies_read_what_taps_see():
    """By plain indexing, without the library: the number of each tap for each pixel of the output."""
    for layout, kernel_size, stride, padding, dilation, size in LAYOUTS:
        geometry = Geometry(stride, padding, dilation)
        copy = copies.copy_of(geometry, kernel_size, size, True)
        if layout != copies.BY_COLUMN:
            continue
        image = torch.arange(1.0, size[0] * size[1] + 1)
        plane = []
        for piece in np.frombuffer(copy.pieces.numpy(), Piece):
            for lane in range(tiles.LANES):
                run, at = divmod(int(piece["from"][lane]), tiles.LANES)
                place = int(piece["from"][lane]) if piece["many"] else int(piece["runs"][run % 2]) + at
                readable = piece["many"] or piece["in_image"][run % 2] >> at & 1
                assert readable or not piece["seen"] >> lane & 1
                plane.append(float(image[place]) if piece["seen"] >> lane & 1 else 0.0)
        assert len(plane) == copy.plane
        seen = F.unfold(image.view(1, 1, *size), kernel_size, dilation, padding, stride)[0]  # (taps, pixels)
        for tap, numbers in zip(copy.taps.tolist(), seen.tolist(), strict=True):
            assert plane[tap : tap + len(numbers)] == numbers


def test_vectors_stay_in_the_copy_and_those_of_rows_waste_few_lanes():
    for kernel_size, stride, height, width in itertools.product((1, 3), (1, 2), (3, 4, 5), range(3, 50)):
        geometry = Geometry((stride, stride), (1, 1), (1, 1))
        copy = copies.copy_of(geometry, (kernel_size,) * 2, (height, width), True)
        starts = copy.sources if copy.layout == copies.BY_ROW else copy.places  # BY_COLUMN reads where it writes
        assert int(copy.taps.max() + starts.max()) + tiles.LANES <= copy.plane
        used = sum(bin(int(stored) & 0xFFFF).count("1") for stored in copy.stored)
        assert copy.layout != copies.BY_ROW or used >= 7 / 8 * tiles.LANES * len(copy.stored)


def test_tiles_share_vectors_that_are_dear_and_read_little_that_lies_apart():
    for filters, vectors in itertools.product((2, 7, 10, 40, 161), (4, 16, 64)):
        of_image, of_copy = (tiles.blocks_and_tiles(filters, vectors, 90, copied)[0] for copied in (False, True))
        assert of_image <= of_copy  # the vectors of a tile are loaded once for each block of filters
    image, copy = (
        [64 / tiles.blocks_and_tiles(161, 64, terms, copied)[1] for terms in (90, 1000)] for copied in (False, True)
    )
    assert image[1] < image[0] / 2
    assert copy[1] == copy[0]


@pytest.mark.parametrize("copied", [True, False])
def test_tiles_fit_the_registers(copied):
    for filters, vectors, terms in itertools.product((1, 2, 7, 10, 40, 161), (1, 4, 13, 64), (1, 90, 2880)):
        blocks, parts = tiles.blocks_and_tiles(filters, vectors, terms, copied)
        rows, width = math.ceil(filters / blocks), math.ceil(vectors / parts)
        assert rows <= 14 and width <= 8 and rows * width + width + 1 <= 32
        for count, cuts in ((filters, blocks), (vectors, parts)):
            sizes = tiles.starts(count, cuts).diff()
            assert sizes.sum() == count and sizes.min() >= 1 and sizes.max() - sizes.min() <= 1
    assert tiles.blocks_and_tiles(10, 64, 1000, True)[0] <= 2  # not one filter at a time


@pytest.mark.parametrize("blocking", ["pack", "row"])
def test_other_processors_get_vector_code(blocking):
    pytest.importorskip("tvm")
    from gc2l.edge.gspc import Sizes  # noqa: PLC0415
    from gc2l.edge.tvm_kernel import assembly  # noqa: PLC0415

    sizes = Sizes(1, 8, 8, 2, 4, 8, 0, (3, 3), (1, 1), (1, 1), (1, 1), (8, 8), relu=True)
    target = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a76"}
    assert assembly(sizes, blocking, target, 4).count(".4s") > 50
    with pytest.raises(ValueError, match="cannot be compiled by TVM"):
        assembly(sizes, blocking, {"kind": "abacus"}, 4)


def test_an_unknown_blocking_is_named():
    pytest.importorskip("tvm")
    from gc2l.edge.gspc import Sizes, Tiles, scheduled  # noqa: PLC0415

    sizes = Sizes(1, 4, 4, 1, 1, 1, 0, (1, 1), (1, 1), (0, 0), (1, 1), (4, 4), relu=False)
    with pytest.raises(ValueError, match="blocking='tile'"):
        scheduled(sizes, "tile", Tiles(1, 1, 1))
