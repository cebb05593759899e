"""The Triton kernels in Triton's interpreter, on CPU tensors, against the formula in float64.

Run by test_triton.py in a process of its own: TRITON_INTERPRET has to be set before Triton is imported.
"""

import copy
import os

import numpy as np
import pytest
import torch
import triton
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from triton.runtime import interpreter

from gc2l.nn import GroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d
from gc2l.ops import reference
from gc2l.ops.cuda import convolution, folding, grouped, guard, launch, serve, tuning
from gc2l.ops.cuda.blocks import blocks_of
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import to_channels_last
from gc2l.ops.weights import block_diagonal, folded_weight

LAST = torch.channels_last
# Errors over the largest number: roundings of the inputs are no part of them, the interpreter cuts bfloat16 off.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}
# (n, c_in/n, c_out/n, m, kernel, stride, padding, dilation, bias)
CASES = [
    (2, 16, 16, 0, 3, 1, 1, 1, False),  # a block of one group that reads nothing else
    (4, 10, 10, 1, 3, 1, 1, 1, True),  # merged
    (5, 3, 7, 2, 3, 2, 1, 1, True),  # odd channels, the last block not full
    (2, 20, 12, 1, 1, 1, 0, 1, False),
    (4, 4, 8, 1, 1, 2, 0, 1, True),  # phases without a tap
    (3, 8, 5, 1, (3, 2), 1, (2, 0), (2, 1), False),
    (1, 3, 16, 0, 3, 1, 1, 1, True),
    (16, 1, 1, 1, 3, (2, 1), 1, 1, False),
    (3, 33, 40, 1, 1, 1, 1, 1, False),  # several tiles of rows and columns
    (2, 8, 8, 40, 1, 1, 0, 1, False),  # and of coarse channels
]


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Interpreted operations take the same time on large tiles as on small ones."""
    assert triton.knobs.runtime.interpret
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (launch, "_PACKED", 1 << 17), (launch, "_UNPACKED", 1 << 13), (launch, "_PROGRAMS", 2),
            (folding, "_BLOCK", 1 << 16),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        multiply = interpreter.InterpreterBuilder.create_dot

        def create_dot(self, a, b, *others):
            return multiply(self, widened(a), widened(b), *others)

        patch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
        yield


def widened(block):
    """bfloat16 as float32: the interpreter would multiply its bits (findings/triton_interpreter_bfloat16.sh)."""
    if block.dtype.scalar != triton.language.bfloat16:
        return block
    numbers = (block.data.astype(np.uint32) << 16).view(np.float32)
    return interpreter.TensorHandle(numbers, triton.language.float32)


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def tensors(case, dtype=torch.float32, images=2, size=(6, 5)):
    """(x, A, r, C, b), random, and the geometry."""
    n, own, fine, m, kernel, stride, padding, dilation, bias = case
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    x = random(images, n * own, *size).to(dtype).contiguous(memory_format=LAST)
    weight = random(n * fine, own, *pair(kernel))
    coarse_level = (random(n * m, own, *pair(kernel)), random(n * fine, n * m, 1, 1)) if m else (None, None)
    to = Geometry(pair(stride), pair(padding), pair(dilation), n)
    return (x, weight, *coarse_level, random(n * fine) if bias else None), to


def formula(x, weight, r, coarse, bias, to):
    if r is None:
        return reference.group(x, weight, bias, to)
    return reference.two_level(x, weight, r, coarse, bias, to)


def assert_near(found, wanted, tolerance):
    atol = tolerance * wanted.abs().max().item()
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=atol, equal_nan=True)


def assert_right(inputs, to, tolerance):
    """Output and gradients of the kernels against the formula in float64."""
    x, weight, r, coarse, _ = inputs
    y, z = launch.convolve(*inputs, to)
    assert y.is_contiguous(memory_format=LAST)
    exact = [None if one is None else one.double().requires_grad_() for one in inputs]
    wanted = formula(*exact, to)
    assert_near(y, wanted.detach(), tolerance)
    gradient = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1)).to(x.dtype)
    leaves = [one for one in exact[:4] if one is not None]
    expected = torch.autograd.grad(wanted, leaves, gradient.double())
    gradient = gradient.contiguous(memory_format=LAST)
    found = launch.convolve_backward(gradient, x, z, weight, r, coarse, to)
    for one, other in zip([one for one in found if one is not None], expected, strict=True):
        assert_near(one, other, tolerance)


@pytest.mark.parametrize("case", CASES)
def test_kernels_compute_output_and_gradients(case):
    assert_right(*tensors(case), TOLERANCE[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kernels_in_two_byte_types(dtype):
    inputs, to = tensors(CASES[1], dtype)
    rounded = [None if one is None else one.to(dtype).float() for one in inputs[1:]]
    assert_right((inputs[0], *rounded), to, TOLERANCE[dtype])


@pytest.mark.parametrize("sizes", [(16, 16, 16), (32, 64, 16)])
def test_tile_sizes_change_nothing(sizes, monkeypatch):
    small = dict(zip(("BLOCK_M", "BLOCK_V", "BLOCK_K"), sizes, strict=True)) | {"BLOCK_Q": 32, "BLOCK_P": 16}
    monkeypatch.setattr(tuning, "INTERPRETED", small)
    monkeypatch.setattr(launch, "_LEAST_PIXELS", 16)  # several splits
    monkeypatch.setattr(launch, "_PROGRAMS", 8)
    assert_right(*tensors((3, 9, 11, 1, 1, 1, 0, 1, False)), TOLERANCE[torch.float32])


def test_weights_may_lie_in_memory_in_any_way():
    (x, weight, r, coarse, bias), to = tensors(CASES[1])
    turned = [
        weight.mT.contiguous().mT,
        r.contiguous(memory_format=LAST),
        coarse.transpose(0, 1).contiguous().transpose(0, 1),
    ]
    assert turned[0].stride(2) == 1 and coarse.stride() != turned[2].stride()
    assert_right((x, *turned, torch.stack([bias, bias], 1)[:, 0]), to, TOLERANCE[torch.float32])


@settings(max_examples=5)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(0, 2), st.integers(1, 2), st.booleans()),
    st.tuples(st.integers(5, 7), st.integers(5, 7)),
)
def test_any_shape(channels, geometry, size):
    stride, padding, dilation, bias = geometry
    case = (*channels, stride, padding, 1 if stride > 1 else dilation, bias)
    assert_right(*tensors(case, images=1, size=size), TOLERANCE[torch.float32])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    ("case", "value"),
    [
        ((4, 6, 5, 1, (3, 1), 1, (1, 0), 1, False), torch.inf),
        ((4, 5, 6, 0, 3, 2, 1, 1, False), torch.inf),
        ((2, 16, 16, 1, 1, 1, 0, 1, False), torch.nan),
    ],
)
def test_what_is_not_finite_stays_where_the_formula_has_it(case, value):
    inputs, to = tensors(case, images=1)
    inputs[0][0, 2, 3, 3] = value
    y, _ = launch.convolve(*inputs, to)
    wanted = formula(*(None if one is None else one.double() for one in inputs), to)
    assert not wanted.isfinite().all()
    torch.testing.assert_close(y.double(), wanted, rtol=1e-4, atol=1e-4, equal_nan=True)
    # In the gradient of y.
    inputs, to = tensors(case, images=1)
    x, weight, r, coarse, _ = inputs
    y, z = launch.convolve(*inputs, to)
    gradient = torch.randn_like(y)
    gradient[0, 1, 1, 1] = value
    found = launch.convolve_backward(gradient, x, z, weight, r, coarse, to)
    leaves = [one.double().requires_grad_() for one in inputs[:4] if one is not None]
    wanted = formula(*leaves, *[None] * (5 - len(leaves)), to)
    expected = torch.autograd.grad(wanted, leaves, gradient.double())
    for one, other in zip([one for one in found if one is not None], expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_two_runs_compute_the_same_bits():
    inputs, to = tensors(CASES[2])
    x, weight, r, coarse, _ = inputs
    runs = []
    for _ in range(2):
        y, z = launch.convolve(*inputs, to)
        runs.append((y, z, *launch.convolve_backward(torch.ones_like(y), x, z, weight, r, coarse, to)))
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


def test_offsets_beyond_32_bits():
    """Pixels 2^26 numbers apart, in memory that is reserved and hardly touched."""
    pixels, apart = 48, 1 << 26
    weight = torch.randn(8, 8, 1, 1)
    blocks = blocks_of(weight, None, 1)
    filters = torch.zeros(blocks.rows, blocks.columns, dtype=torch.float16)
    filters[:8, :8] = weight[:, :, 0, 0].T
    x = torch.empty(pixels * apart, dtype=torch.float16)
    y = torch.empty(pixels * apart, dtype=torch.float16)
    seen = torch.randn(pixels, 16).half()
    for pixel in range(pixels):
        x[pixel * apart : pixel * apart + 16] = seen[pixel]
    convolution.convolve[(1,)](
        x, x, filters, x, y, y, x, 1, 1, pixels, 1, pixels, apart // 8, apart // 8, 1, 1, 8, 8, 0, 1, 1, 0, 1, 0, 0, 1,
        1, ALIGN_IN=8, ALIGN_OUT=8, K_H=1, K_W=1, STRIDE_H=1, STRIDE_W=1, MERGED=1, EXACT=False, WATCH=False,
        TRANSPOSED=False, COARSE=False, BIAS=False, PRECISION="ieee", CARD="none", BLOCK_M=64, BLOCK_V=16, BLOCK_K=16,
    )  # fmt: skip
    wanted = F.linear(seen[:, :8].double(), weight[:, :, 0, 0].half().double())
    for pixel in (0, 31, 32, pixels - 1):
        found = y[pixel * apart : pixel * apart + 8]
        torch.testing.assert_close(found.double(), wanted[pixel], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("n", "own", "fine", "m", "kernel", "last"),
    [(4, 5, 6, 1, 3, True), (3, 33, 25, 2, 1, False), (2, 8, 8, 0, 1, True), (2, 33, 1, 1, 1, False)],
)
def test_folding(n, own, fine, m, kernel, last):
    (_, *inputs, _), _ = tensors((n, own, fine, m, kernel, 1, 0, 1, False))
    given_as = [None if one is None else one.contiguous(memory_format=LAST) if last else one for one in inputs]
    dense = folding.dense_weight(*given_as, n, torch.float32, last=not last)
    exact = [one.double().requires_grad_() for one in inputs if one is not None]
    wanted = folded_weight(*exact, n) if m else block_diagonal(*exact, n)
    assert_near(dense, wanted.detach(), 1e-6)
    gradient = torch.randn(wanted.shape)
    expected = torch.autograd.grad(wanted, exact, gradient.double())
    found = folding.dense_weight_backward(gradient.contiguous(memory_format=LAST), *given_as, n)
    for one, other in zip([one for one in found if one is not None], expected, strict=True):
        assert_near(one, other, 1e-6)
    assert found[0].stride() == given_as[0].stride()


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d, ShuffleGroupConv2d])
def test_layers_by_triton_and_their_second_derivatives(cls, last):
    layer = cls(12, 8, 3, padding=1, groups=4, algorithm="triton")
    x = torch.randn(2, 12, 5, 5, generator=torch.Generator().manual_seed(2))
    x = x.contiguous(memory_format=LAST) if last else x
    plain = copy.deepcopy(layer).double()
    plain.algorithm = "auto"
    results = []
    for conv, image in ((layer, x.requires_grad_()), (plain, x.detach().double().requires_grad_())):
        y = conv(image)
        (first,) = torch.autograd.grad(y.square().sum(), image, create_graph=True)
        results.append((y, first, *torch.autograd.grad(first.square().sum(), list(conv.parameters())[:1])))
    for one, other in zip(*results, strict=True):
        assert_near(one.detach(), other.detach(), 1e-5)
    assert results[0][0].is_contiguous(memory_format=LAST) is last


def test_autocast_leaves_the_parameters_and_their_gradients_in_float32():
    layer = TwoLevelGroupConv2d(12, 8, 3, padding=1, groups=4, algorithm="triton")
    x = torch.randn(2, 12, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype is torch.bfloat16
    y.float().square().sum().backward()
    plain = copy.deepcopy(layer).double()
    plain.algorithm = "separate"
    plain.zero_grad()
    plain(x.double()).square().sum().backward()
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        assert one.grad.dtype is torch.float32
        assert_near(one.grad, other.grad, 5e-2)


def test_results_are_compared_once_if_asked_for(monkeypatch):
    inputs, to = tensors((2, 4, 4, 1, 1, 1, 0, 1, False))
    monkeypatch.setenv("GC2L_CHECK", "1")
    y, z = grouped.two_level_forward(*inputs, to)
    grouped.two_level_backward(torch.ones_like(y), inputs[0], z, *inputs[1:4], to)
    convolve = launch.convolve

    def wrong(*given):
        y, z = convolve(*given)
        return y.add_(y.std()), z

    monkeypatch.setattr(launch, "convolve", wrong)
    grouped.two_level_forward(*inputs, to)  # compared before
    monkeypatch.setattr(guard, "_checked", set())
    with pytest.raises(RuntimeError, match=r"the forward kernel \(.*\) is wrong: in norm"):
        grouped.two_level_forward(*inputs, to)


def test_the_kernels_serve_the_interpreter_and_say_what_they_do_not():
    inputs, to = tensors(CASES[0])
    x, weight = to_channels_last(inputs[0]), inputs[1]
    assert grouped.can(x, weight, to)
    assert serve.obstacle(x.double(), weight, to) == "there is none for torch.float64"
    assert serve.obstacle(x[:, 1:], weight, to) == "x has 31 channels, the weights are for 32"
    for cls in (GroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d):
        for channels in (31, 64):
            with pytest.raises(RuntimeError, match=f"{channels} channels"):
                cls(32, 32, 3, groups=2, algorithm="triton")(torch.randn(1, channels, 5, 5))
    odd = to._replace(stride=(2, 1), dilation=(2, 1))
    assert "stride=(2, 1) together with dilation=(2, 1)" in serve.obstacle(x, weight, odd)
    assert serve.obstacle(x[:0], weight, to) == "there is nothing to compute"
    huge = torch.empty(1, device="meta").expand(2**16, 32, 2**8, 2**8)
    assert os.environ["TRITON_INTERPRET"] == "1"
    assert serve.obstacle(huge.half(), weight, to) == "the batch has too many pixels"
