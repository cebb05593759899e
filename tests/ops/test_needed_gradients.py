"""A backward pass gives the gradients that are needed, as nn.Conv2d's does, and computes little else."""

from unittest import mock

import pytest
import torch
from nn.layers import random_input
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.ops.cpu import compiled

needs_library = pytest.mark.skipif(not compiled.available(), reason="no compiled passes: no compiler, or no AVX-512")
GROUPS = 2
TWO_LEVEL = [(TwoLevelGroupConv2d, way, kernel) for way in TwoLevelGroupConv2d.ALGORITHMS for kernel in (1, 3)]
GROUP = [
    (GroupConv2d, way, kernel) for way in GroupConv2d.ALGORITHMS for kernel in (1, 3) if way != "matmul" or kernel == 1
]
FINE, R, C = "weight", "restriction_weight", "coarse_weight"
NEEDED = {
    "x": {"x"},
    "weights": {FINE, R, C, "bias"},
    "blocks": {FINE},
    "restriction": {R},
    "coarse": {C},
    "coarse level": {R, C},
    "bias": {"bias"},
    "x and coarse": {"x", C},
    "all": {"x", FINE, R, C, "bias"},
}


def make(cls, way, kernel, dtype):
    torch.manual_seed(1)
    layer = cls(32, 32, kernel, padding=kernel // 2, groups=GROUPS, algorithm=way, dtype=dtype)
    nn.init.normal_(layer.bias)
    return layer, random_input(2, 32, 6, 5).to(dtype).contiguous(memory_format=torch.channels_last)


def ask(layer, x, needed):
    """The input, of which and of the parameters those `needed` ask for a gradient."""
    for name, value in layer.named_parameters():
        value.requires_grad_(name in needed)
    return x.requires_grad_("x" in needed)


def exact(layer, x, upstream, needed):
    """The gradients by the equation and PyTorch's convolutions alone, in float64."""
    tensors = {"x": x, **dict(layer.named_parameters())}
    tensors = {name: value.detach().double().requires_grad_(name in needed) for name, value in tensors.items()}
    settings = {"padding": layer.padding, "groups": GROUPS}
    y = F.conv2d(tensors["x"], tensors[FINE], tensors["bias"], **settings)
    if R in tensors:
        y = y + F.conv2d(F.conv2d(tensors["x"], tensors[R], **settings), tensors[C])
    y.backward(upstream.double())
    return {name: value.grad for name, value in tensors.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("cls", "way", "kernel", "needed"),
    [(*case, needed) for case in TWO_LEVEL for needed in NEEDED]
    + [(*case, needed) for case in GROUP for needed in NEEDED if NEEDED[needed] - {R, C}],
)
def test_gradients_that_are_needed_are_right_and_the_others_none(cls, way, kernel, needed, dtype):
    layer, x = make(cls, way, kernel, dtype)
    y = layer(ask(layer, x, NEEDED[needed]))
    upstream = torch.randn_like(y)
    y.backward(upstream)
    expected = exact(layer, x, upstream, NEEDED[needed])
    for name, value in {"x": x, **dict(layer.named_parameters())}.items():
        if expected[name] is None:
            assert value.grad is None
        else:
            scale = float(expected[name].abs().max())
            torch.testing.assert_close(value.grad.double(), expected[name], rtol=0, atol=1e-5 * scale)


def operations(cls, way, kernel, needed):
    layer, x = make(cls, way, kernel, torch.float32)
    y = layer(ask(layer, x, needed))
    with FlopCounterMode(display=False) as counted:
        y.sum().backward()
    return counted.get_total_flops()


# The kernels of "triton" compute all gradients together.
@pytest.mark.parametrize(("cls", "way", "kernel"), [case for case in TWO_LEVEL + GROUP if case[1] != "triton"])
def test_gradients_that_are_not_needed_are_not_computed(cls, way, kernel):
    found = {name: operations(cls, way, kernel, needed) for name, needed in NEEDED.items() if needed & {"x", FINE}}
    # The coarse level, a few channels wide, may be computed as a whole: two products for C and two for r.
    pixels, coarse = 2 * 6 * 5, 2 * 2 * (32 * GROUPS + kernel**2 * 32)
    assert found["all"] > 4 * pixels * coarse
    assert found["x"] + found["weights"] <= found["all"] + pixels * coarse
    assert found["blocks"] <= found["weights"]
    if cls is TwoLevelGroupConv2d and way != "folded" and not (way == "auto" and kernel == 1):
        assert operations(cls, way, kernel, NEEDED["coarse"]) <= pixels * coarse


@needs_library
@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d])
@pytest.mark.parametrize(("needed", "calls"), [("x", 0), ("weights", 0), ("all", 1)])
def test_the_kernel_serves_what_needs_both(cls, needed, calls):
    layer, x = make(cls, "direct", 3, torch.float32)
    with mock.patch.object(compiled, "call", wraps=compiled.call) as called:
        layer(ask(layer, x, NEEDED[needed])).sum().backward()
    assert [call.args[0] for call in called.call_args_list].count("convolve_backward") == calls


@needs_library
def test_means_do_not_keep_the_kernel_from_training():
    layer = TwoLevelGroupConv2d(32, 32, 3, groups=GROUPS, restriction="mean", algorithm="direct")
    x = random_input(2, 32, 6, 5).float().requires_grad_()
    with mock.patch.object(compiled, "call", wraps=compiled.call) as called:
        layer(x).sum().backward()
    assert "convolve_backward" in [call.args[0] for call in called.call_args_list]
