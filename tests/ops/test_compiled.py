"""The compiled functions give what the framework gives in float64, and keep out of the way where they do not belong."""

import copy
import platform
import re
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import pytest
import torch
from nn.layers import random_input
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.ops.cpu import compiled, framework
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import pixels as rows

ROOT = Path(__file__).parents[2]
CAPABLE = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
needs_library = pytest.mark.skipif(not compiled.available(), reason="no compiled passes: no compiler, or no AVX-512")

# n, m, c_in/n, c_out/n: vectors of 16 filled exactly, not at all, and with a rest.
CHANNELS = [(4, 1, 16, 16), (16, 1, 10, 10), (8, 2, 3, 5), (1, 16, 7, 40), (3, 1, 35, 20), (2, 1, 80, 81), (5, 3, 1, 1)]
# Kernel, stride, padding, dilation, size.
GEOMETRIES = [
    ((3, 3), (1, 1), (1, 1), (1, 1), (8, 8)),
    ((3, 3), (2, 2), (1, 1), (1, 1), (9, 12)),
    ((1, 1), (1, 1), (0, 0), (1, 1), (5, 17)),
    ((2, 5), (3, 2), (3, 1), (2, 1), (7, 21)),
    ((3, 7), (1, 1), (4, 5), (3, 2), (2, 3)),
    ((1, 4), (2, 1), (0, 3), (1, 3), (1, 10)),
]


@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.system() != "Linux" or not shutil.which("gcc") or not CAPABLE,
    reason="this machine has no gcc or no AVX-512",
)
def test_they_are_compiled_where_they_can_be():
    assert compiled.available()


@pytest.mark.parametrize("folder", ["ops/cpu", "edge"])
def test_a_source_distribution_has_every_source_and_names_no_processor(folder):
    extensions = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    (extension,) = (one for one in extensions if one["name"] == f"gc2l.{folder.replace('/', '.')}.library")
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "src/gc2l" / folder).glob("*.[ch]")}
    named = {*extension["sources"], *extension["depends"]}
    assert found <= named and all((ROOT / path).is_file() for path in named)
    assert extension["optional"] and not [flag for flag in extension["extra-compile-args"] if flag.startswith("-m")]


@pytest.mark.skipif(not shutil.which("objdump"), reason="no objdump")
@pytest.mark.parametrize("library", ["gc2l.ops.cpu.library", "gc2l.edge.library"])
def test_what_runs_on_every_processor_needs_no_vectors(library):
    found = find_spec(library)
    if found is None or found.origin is None:
        pytest.skip("nothing compiled")
    printed = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", found.origin], capture_output=True, text=True, check=True
    )
    if "x86-64" not in printed.stdout:
        pytest.skip("this is no x86-64")
    functions = dict(re.findall(r"^[0-9a-f]+ <(.+?)>:\n(.*?)(?=\n\n|\Z)", printed.stdout, flags=re.M | re.S))
    with_vectors = {name for name, code in functions.items() if re.search(r"%[yz]mm|%k[0-7]|\tv[a-z]", code)}
    # What the loader, the compiler's runtime and the question whether the rest can run execute.
    everywhere = {"gc2l_runs_here", "_init", "_fini", "frame_dummy", "register_tm_clones", "deregister_tm_clones"}
    assert "gc2l_runs_here" in functions and with_vectors and not with_vectors & everywhere


@needs_library
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("groups", "m", "own", "fine"), CHANNELS)
def test_passes_over_the_output(groups, m, own, fine, threads):
    # 8 and 16 pixels are worked on at once, hence a rest of both.
    pixels, c_out, k = 45, groups * fine, groups * m
    y, gradient, both = random_input(pixels, c_out), random_input(pixels, c_out), random_input(pixels, c_out + k)
    z, coarse = random_input(pixels, k), random_input(c_out, k)
    added, split, expected_split = y.float(), torch.empty(pixels, c_out), torch.empty_like(y)
    upstream, expected_upstream = torch.empty(pixels, c_out + k), torch.empty_like(both)
    with using_threads(threads):
        compiled.add_coarse(added, z.float(), coarse.float())
        found = [
            added,
            split,
            compiled.split_fused(both.float(), coarse.float(), groups, split),
            *compiled.coarse_gradients(gradient.float(), z.float(), coarse.float()),
            compiled.fused_gradients(gradient.float(), z.float(), coarse.float(), groups, upstream),
            upstream,
        ]
    framework.add_coarse(y, z, coarse)
    expected = [
        y,
        expected_split,
        framework.split_fused(both, coarse, groups, expected_split),
        *framework.coarse_gradients(gradient, z, coarse),
        framework.fused_gradients(gradient, z, coarse, groups, expected_upstream),
        expected_upstream,
    ]
    assert_close(found, expected)


@needs_library
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "size"), GEOMETRIES)
@pytest.mark.parametrize(("groups", "m", "own", "fine"), CHANNELS)
def test_passes_over_the_input(groups, m, own, fine, kernel, stride, padding, dilation, size, threads):
    geometry = Geometry(stride, padding, dilation, groups)
    x = random_input(3, groups * own, *size).contiguous(memory_format=torch.channels_last)
    r = random_input(groups * m, own, *kernel)
    z = geometry.convolve(x, r, None)
    upstream = random_input(*z.shape)
    x_gradient, r_gradient, _ = torch.ops.aten.convolution_backward(
        upstream, x, r, None, stride, padding, dilation, False, (0, 0), groups, (True, True, False)
    )
    before = random_input(*x.shape).contiguous(memory_format=torch.channels_last)
    accumulated = before.float()
    with using_threads(threads):
        found_z = compiled.restrict(x.float(), r.float(), geometry)
        given = (rows(upstream).float(), x.float(), r.float(), geometry)
        _, found_r = compiled.restrict_backward(*given, accumulated)
        alone, _ = compiled.restrict_backward(*given)
    assert_close([found_z, found_r, accumulated, alone], [rows(z), r_gradient, before + x_gradient, x_gradient])


@needs_library
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("padding", "size"),
    [((1, 1), (8, 8)), ((0, 2), (9, 12)), ((2, 0), (3, 17)), ((1, 1), (1, 1)), ((2, 2), (1, 2)), ((0, 0), (3, 3))],
)
@pytest.mark.parametrize(("groups", "m", "own", "fine"), [*CHANNELS, (4, 1, 4, 8), (2, 2, 13, 47), (2, 0, 20, 33)])
def test_the_convolution(groups, m, own, fine, padding, size, threads):
    make = {"groups": groups, "padding": padding, "algorithm": "direct"}
    if m:
        layer = TwoLevelGroupConv2d(groups * own, groups * fine, 3, coarse_channels=m, **make)
    else:
        layer = GroupConv2d(groups * own, groups * fine, 3, **make)
    nn.init.normal_(layer.bias)
    plain = copy.deepcopy(layer).double()
    plain.algorithm = "separate" if m else "grouped"
    x = random_input(5, groups * own, *size)
    with using_threads(threads), mock.patch.object(compiled, "call", wraps=compiled.call) as called:
        found = values_and_gradients(layer, x.float())
    assert [call.args[0] for call in called.call_args_list] == ["convolve", "convolve_backward"]
    assert_close(found, values_and_gradients(plain, x))


@needs_library
@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
@pytest.mark.parametrize(
    "geometry",
    [
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "dilation": 2},
        {"kernel_size": 3, "padding": 3},
        {"kernel_size": (1, 3)},
    ],
)
def test_other_convolutions_go_without_it(geometry, cls):
    layer = cls(32, 32, groups=2, algorithm="direct", **geometry)
    plain = copy.deepcopy(layer).double()
    plain.algorithm = "auto"
    x = random_input(2, 32, 9, 8)
    with mock.patch.object(compiled, "convolve") as called:
        found = values_and_gradients(layer, x.float())
    assert not called.called
    assert_close(found, values_and_gradients(plain, x))


@needs_library
@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
def test_second_derivatives_of_the_convolution(cls):
    layer = cls(8, 8, 3, groups=2, padding=1, bias=False, algorithm="direct")
    plain = copy.deepcopy(layer).double()
    x = random_input(1, 8, 4, 4)

    def second(layer, x):
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        (first,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), [x, *layer.parameters()])

    assert_close(second(layer, x.float()), second(plain, x))


@needs_library
@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
def test_a_mode_that_begins_between_the_passes_sees_the_backward_pass(cls):
    layer = cls(32, 32, 3, groups=2, padding=1, algorithm="direct")
    x = random_input(2, 32, 6, 6, dtype=torch.float32).contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = values_and_gradients(layer, x.detach())
    y = layer(x)
    upstream = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape).float()
    with FlopCounterMode(display=False) as counter:
        found = [y, *torch.autograd.grad(y, [x, *layer.parameters()], upstream)]
    # Two products, each with two operations for each of 9 taps, 16 inputs and 32 outputs, and 72 pixels.
    assert counter.get_total_flops() >= 2 * 2 * 9 * 16 * 32 * 72
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@needs_library
@pytest.mark.parametrize("algorithm", ["fused", "dense_restriction", "matmul"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_layer_uses_them_and_equals_the_plain_formula(kernel, algorithm):
    layer = two_level(kernel_size=kernel, padding=kernel // 2, algorithm=algorithm)
    plain = two_level(kernel_size=kernel, padding=kernel // 2, algorithm="separate").double()
    x = random_input(2, 32, 6, 7)
    with mock.patch.object(compiled, "call", wraps=compiled.call) as called:
        found = values_and_gradients(layer, x.float())
    assert called.call_count == (4 if algorithm == "matmul" else 2)
    assert_close(found, values_and_gradients(plain, x))


@pytest.mark.parametrize(
    "x", [random_input(2, 32, 6, 7), torch.zeros(2, 32, 6, 7), torch.zeros(0, 32, 6, 7), torch.zeros(32, 6, 7)]
)
def test_they_do_not_serve_other_inputs(x):
    assert not compiled.can_use(x, torch.zeros(48, 4, 1, 1), 4)


def test_they_do_not_serve_many_coarse_channels():
    assert not compiled.can_use(torch.zeros(1, 34, 3, 3), torch.zeros(34, 17, 1, 1), 17)


@pytest.mark.parametrize("algorithm", ["fused", "direct"])
def test_nothing_is_hidden_from_a_mode_that_watches_operations(algorithm):
    layer, x = two_level(kernel_size=3, padding=1, algorithm=algorithm), torch.randn(1, 32, 6, 7)
    with FlopCounterMode(display=False), mock.patch.object(compiled, "call") as called:
        layer(x)
    assert not called.called


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("algorithm", ["fused", "direct"])
def test_a_traced_layer_computes_the_layer(algorithm):
    layer = two_level(kernel_size=3, padding=1, algorithm=algorithm)
    traced = torch.jit.trace(layer, torch.randn(2, 32, 6, 7))
    x = torch.randn(2, 32, 6, 7)
    torch.testing.assert_close(traced(x), layer(x), rtol=1e-4, atol=1e-5)


def two_level(**arguments):
    torch.manual_seed(1)
    layer = TwoLevelGroupConv2d(32, 48, groups=4, **arguments)
    nn.init.normal_(layer.bias)
    return layer.to(memory_format=torch.channels_last)


def values_and_gradients(layer, x):
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    y = layer(x)
    upstream = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape).to(y.dtype)
    return [y, *torch.autograd.grad(y, [x, *layer.parameters()], upstream)]


def assert_close(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        # Sums of up to some thousand products of numbers around 1.
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item() + 1e-12)


class using_threads:
    def __init__(self, threads):
        self.threads = threads

    def __enter__(self):
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def __exit__(self, *_):
        torch.set_num_threads(self.before)


def test_a_default_device_does_not_reach_what_c_reads():
    layer = TwoLevelGroupConv2d(64, 64, 3, padding=1, groups=4)
    x = random_input(8, 64, 8, 8, dtype=torch.float32)

    def gradients():
        y = layer(x)
        return y, *torch.autograd.grad(y.square().sum(), layer.parameters())

    expected = gradients()
    with torch.device("meta"):
        found = gradients()
    torch.testing.assert_close(found, expected)
