"""The compiled functions in bfloat16: every result is the exact one, rounded once; who computes what under autocast."""

import ctypes
from unittest import mock

import pytest
import torch
from nn.layers import random_input
from torch import nn

from gc2l.edge import kernel
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.ops.cpu import coarse_level, compiled, framework, loader, matrix_units
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import pixels as rows

needs_library = pytest.mark.skipif(not compiled.available(), reason="no compiled passes: no compiler, or no AVX-512")
ROUNDOFF = torch.finfo(torch.bfloat16).eps / 2
# n, m, c_in/n, c_out/n: vectors of 16 and of 32 filled exactly, not at all, and with a rest.
CHANNELS = [(4, 1, 16, 16), (16, 1, 10, 10), (8, 2, 3, 5), (1, 16, 7, 40), (3, 1, 35, 20), (5, 3, 1, 1)]
# Kernel, stride, padding, dilation, size.
GEOMETRIES = [
    ((3, 3), (1, 1), (1, 1), (1, 1), (8, 8)),
    ((3, 3), (2, 2), (1, 1), (1, 1), (9, 12)),
    ((1, 1), (1, 1), (0, 0), (1, 1), (5, 17)),
    ((2, 5), (3, 2), (3, 1), (2, 1), (7, 21)),
]


@needs_library
def test_numbers_are_rounded_as_the_framework_rounds():
    torch.manual_seed(0)
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    y = every.repeat(3, 1).view(-1, 16).contiguous()
    z = torch.stack([every, every.roll(77), torch.randn(len(every)).bfloat16() * every]).view(-1, 16).contiguous()
    sums = []
    for lane in range(16):  # one product each, so that the float32 sum is y + z itself
        found, own = y[:, lane : lane + 1].contiguous(), z[:, lane : lane + 1].contiguous()
        expected = (found.float() + own.float()).bfloat16()
        compiled.add_coarse(found, own, torch.ones(1, 1, dtype=torch.bfloat16))
        sums.append((found, expected))
    for found, expected in sums:
        same = found.view(torch.int16) == expected.view(torch.int16)
        assert (same | (found.isnan() & expected.isnan())).all()
    assert any(expected.isnan().any() for _, expected in sums)


@needs_library
@pytest.mark.parametrize("level", [compiled, matrix_units])
@pytest.mark.parametrize(("groups", "m", "own", "fine"), CHANNELS)
def test_passes_over_the_output(groups, m, own, fine, level):
    pixels, c_out, k = 45, groups * fine, groups * m
    y, gradient, both = rounded(pixels, c_out), rounded(pixels, c_out), rounded(pixels, c_out + k)
    z, coarse = rounded(pixels, k), rounded(c_out, k)
    added, split, upstream = half(y), half(torch.empty_like(y)), half(torch.empty_like(both))
    with using_threads(3):
        level.add_coarse(added, half(z), half(coarse))
        split_z = level.split_fused(half(both), half(coarse), groups, split)
        found = level.coarse_gradients(half(gradient), half(z), half(coarse))
        fused = level.fused_gradients(half(gradient), half(z), half(coarse), groups, upstream)
    by_group, fine_part = both.view(pixels, groups, fine + m), gradient.view(pixels, groups, fine)
    coarse_z = by_group[..., fine:].reshape(pixels, k)
    z_gradient, coarse_gradient = gradient @ coarse, gradient.T @ z
    assert torch.equal(split_z.double(), coarse_z)
    assert_rounded(added, y + z @ coarse.T, level)
    assert_rounded(split, by_group[..., :fine].reshape(pixels, c_out) + coarse_z @ coarse.T, level)
    for mine, theirs in zip([*found, fused], [z_gradient, coarse_gradient, coarse_gradient], strict=True):
        assert_rounded(mine, theirs, level)
    expected = torch.cat([fine_part, z_gradient.view(pixels, groups, m)], 2).flatten(1)
    assert_rounded(upstream, expected, level)
    assert torch.equal(upstream.view(pixels, groups, fine + m)[..., :fine].double(), fine_part)


@needs_library
@pytest.mark.parametrize("level", [compiled, matrix_units])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "size"), GEOMETRIES)
@pytest.mark.parametrize(("groups", "m", "own", "fine"), CHANNELS)
def test_passes_over_the_input(groups, m, own, fine, kernel, stride, padding, dilation, size, level):
    geometry = Geometry(stride, padding, dilation, groups)
    x, r = rounded(3, groups * own, *size), rounded(groups * m, own, *kernel)
    z = geometry.convolve(x, r, None)
    upstream, before = rounded(*z.shape), rounded(*x.shape)
    x_gradient, r_gradient = geometry.convolve_backward(upstream, x, r)
    accumulated, given = half(before), (half(rows(upstream)), half(x), half(r), geometry)
    with using_threads(3):
        found_z = level.restrict(half(x), half(r), geometry)
        _, found_r = level.restrict_backward(*given, accumulated)
        alone, _ = level.restrict_backward(*given)
    found, expected = [found_z, found_r, accumulated, alone], [rows(z), r_gradient, before + x_gradient, x_gradient]
    for mine, theirs in zip(found, expected, strict=True):
        assert_rounded(mine, theirs, level)


@needs_library
@pytest.mark.parametrize(("groups", "m", "own", "fine"), [*CHANNELS, (2, 0, 20, 33), (2, 1, 80, 81)])
def test_the_convolution(groups, m, own, fine):
    geometry = Geometry(padding=(1, 1), groups=groups)
    x, a = rounded(5, groups * own, 6, 9), rounded(groups * fine, own, 3, 3)
    y = geometry.convolve(x, a, None)
    upstream = rounded(*y.shape)
    r = c = z = None
    expected = geometry.convolve_backward(upstream, x, a)
    if m:
        r, c = rounded(groups * m, own, 3, 3), rounded(groups * fine, groups * m)
        z = geometry.convolve(x, r, None)
        z_gradient = nn.functional.conv2d(upstream, c.T[:, :, None, None])
        of_x, of_r = geometry.convolve_backward(z_gradient, x, r)
        expected = [expected[0] + of_x, expected[1], of_r, rows(upstream).T @ half(rows(z)).double()]
        y = y + nn.functional.conv2d(z, c[:, :, None, None])
    halves = [None if tensor is None else half(tensor) for tensor in (a, r, c)]
    with using_threads(3):
        found_y, found_z = compiled.convolve(half(x), *halves, geometry)
        given = half(upstream), half(x), None if z is None else half(rows(z)), *halves, geometry
        found = compiled.convolve_backward(*given)
    # z and A x are rounded before C z is added.
    torch.testing.assert_close(found_y.double(), y, rtol=0, atol=3 * ROUNDOFF * y.abs().max().item())
    if z is not None:
        assert_rounded(found_z, rows(z))
    for mine, theirs in zip(found[: len(expected)], expected, strict=True):
        assert_rounded(mine, theirs)


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("algorithm", ["fused", "dense_restriction", "matmul", "direct"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_layer_under_autocast_is_right_whoever_computes_it(kernel, algorithm, amx, monkeypatch):
    monkeypatch.setattr(matrix_units, "available", lambda: amx)
    torch.manual_seed(1)
    layer = TwoLevelGroupConv2d(32, 48, kernel, groups=4, padding=kernel // 2, algorithm=algorithm)
    nn.init.normal_(layer.bias)
    x = rounded(2, 32, 6, 7)
    plain = layer.to_dense().double()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x.float())
    assert found.dtype is torch.bfloat16
    expected = plain(x)
    # Weights, A x, z and the sum are rounded, each by at most a roundoff of the largest sum.
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=8 * ROUNDOFF * expected.abs().max().item())
    upstream = rounded(*found.shape)
    mine = torch.autograd.grad(found, list(layer.parameters()), half(upstream))
    layer.algorithm = "separate"
    theirs = torch.autograd.grad(layer.double()(x), list(layer.parameters()), upstream)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=8 * ROUNDOFF * other.abs().max().item())


@needs_library
@pytest.mark.parametrize(
    ("algorithm", "amx", "names"),
    [
        ("fused", False, ["split_fused", "coarse_gradients"]),
        ("fused", True, ["split", "join"]),
        ("dense_restriction", False, ["add_coarse", "coarse_gradients"]),
        ("dense_restriction", True, ["join"]),
        ("matmul", False, ["restrict", "add_coarse", "coarse_gradients", "restrict_backward"]),
        ("matmul", True, ["restrict_backward"]),
        ("direct", True, ["convolve", "convolve_backward"]),
    ],
)
def test_what_is_compiled_under_autocast(algorithm, amx, names, monkeypatch):
    monkeypatch.setattr(matrix_units, "available", lambda: amx)
    layer = TwoLevelGroupConv2d(32, 48, 3, groups=4, padding=1, algorithm=algorithm)
    called = mock.Mock(wraps=loader.call)
    monkeypatch.setattr(compiled, "call", called)
    monkeypatch.setattr(matrix_units, "call", called)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 32, 6, 7, requires_grad=True)).sum().backward()
    assert [call.args[:2] for call in called.call_args_list] == [(name, torch.bfloat16) for name in names]


@pytest.mark.parametrize("amx", [False, True])
def test_products_are_the_matrix_units_where_there_are_any(amx, monkeypatch):
    monkeypatch.setattr(compiled, "library", mock.Mock)
    monkeypatch.setattr(matrix_units, "available", lambda: amx)
    x, weight = half(torch.zeros(2, 32, 6, 7)), half(torch.zeros(48, 8, 3, 3))
    assert coarse_level(x, weight, 4) is (matrix_units if amx else compiled)
    assert coarse_level(x.float(), weight.float(), 4) is compiled
    assert coarse_level(x, weight, 17) is framework
    monkeypatch.setattr(compiled, "library", lambda: None)
    assert coarse_level(x, weight, 4) is framework


def test_all_three_have_the_same_functions():
    for name in ("restrict", "add_coarse", "split_fused", "coarse_gradients", "fused_gradients", "restrict_backward"):
        assert all(callable(getattr(level, name)) for level in (compiled, framework, matrix_units))


@needs_library
@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
@pytest.mark.parametrize("default", [torch.bfloat16, torch.float64])
def test_memory_does_not_depend_on_the_default_type(cls, default):
    layer = cls(32, 32, 3, groups=2, padding=1, algorithm="direct", dtype=torch.float32)
    x = half(random_input(2, 32, 6, 6)).float().requires_grad_()
    expected = torch.autograd.grad(layer(x).sum(), [x, *layer.parameters()])
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        found = torch.autograd.grad(layer(x).sum(), [x, *layer.parameters()])
    finally:
        torch.set_default_dtype(before)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("library", [loader.library, kernel.library], ids=["training", "inference"])
@pytest.mark.parametrize("can", [False, True])
def test_a_library_that_the_processor_cannot_run_is_left_alone(can, library, monkeypatch):
    fake = mock.MagicMock()
    fake.gc2l_runs_here.return_value = int(can)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(loader, "find_spec", lambda _: mock.Mock(origin="/somewhere/library.so"))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: fake)
    assert library.__wrapped__() is (fake if can else None)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert library.__wrapped__() is None
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(loader, "find_spec", lambda _: None)
    assert library.__wrapped__() is None


def rounded(*shape):
    """Numbers of bfloat16, as float64; images are channels last."""
    return random_input(*shape).bfloat16().double()


def half(values):
    values = values.bfloat16()
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values


def assert_rounded(found, expected, level=compiled):
    assert found.dtype is torch.bfloat16
    # Sums of up to some thousand products of numbers around 1, in float32, and one rounding; the framework's products
    # may round their parts.
    atol = (1e-5 if level is compiled else 2 * ROUNDOFF) * expected.abs().max().item()
    torch.testing.assert_close(found.double(), expected, rtol=ROUNDOFF, atol=atol + 1e-12)


class using_threads:
    def __init__(self, threads):
        self.threads = threads

    def __enter__(self):
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def __exit__(self, *_):
        torch.set_num_threads(self.before)
