"""The output of every layer can be changed in place, as that of the standard convolution that it equals can."""

import copy
import itertools

import pytest
import torch
from nn.layers import layer_class, make_layer, random_input
from torch import nn
from torch.func import functional_call

from gc2l.ops.cpu import compiled
from gc2l.variants import VARIANTS

CHANGES = {
    "relu_": lambda y: y.relu_(),
    "add_": lambda y: y.add_(0.5),
    "mul_": lambda y: y.mul_(y.detach() + 2),
    "hardswish": nn.Hardswish(inplace=True),
}
FORMATS = {
    "contiguous": lambda x: x.clone(),
    "channels last": lambda x: x.clone(memory_format=torch.channels_last),
    "one image": lambda x: x[0].clone(),
    "one pixel": lambda x: x[:, :, :1, :1].clone(memory_format=torch.channels_last),
}
# Kernel size, stride, bias: in turn, so that every change meets every memory format.
GEOMETRIES = [(1, 1, True), (1, 2, False), (3, 1, False), (3, 1, True), (3, 2, True)]
CASES = [
    (variant, algorithm) for variant in VARIANTS for algorithm in getattr(layer_class(variant), "ALGORITHMS", ("auto",))
]


@pytest.fixture(params=["compiled", "hidden"])
def library(request, monkeypatch):
    """The C library as it is on this machine, and as on one without it."""
    if request.param == "hidden":
        monkeypatch.setattr(compiled, "library", lambda: None)


def outputs_and_gradients(layer, x, change):
    """Output and gradients; the sum of squares is changed where a gradient is taken of the wrong values."""
    x = x.detach().requires_grad_()
    y = change(layer(x))
    return [y, *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])]


class Dense(nn.Module):
    """The standard convolution that `layer` equals, as a function of the layer's parameters."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        dense, bias = self.layer.to_dense(), self.layer.bias
        state = {"weight": self.layer.dense_weight()}
        if bias is not None:
            state["bias"] = self.layer.dense_bias() if hasattr(self.layer, "dense_bias") else bias
        return functional_call(dense, state, (x,))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("variant", "algorithm"), CASES)
def test_the_output_can_be_changed_in_place(variant, algorithm):
    pointwise_only = algorithm == "matmul" and variant != "gc2l"
    geometries = itertools.cycle(GEOMETRIES[:2] if pointwise_only else GEOMETRIES)
    for (form, made), (name, change) in itertools.product(FORMATS.items(), CHANGES.items()):
        kernel, stride, bias = next(geometries)
        layer = make_layer(
            variant, 8, 12, kernel, groups=2, padding=kernel // 2, stride=stride, bias=bias, dtype=torch.float32
        )
        layer.algorithm = algorithm
        x = made(random_input(2, 8, 5, 4, dtype=torch.float32))
        found = outputs_and_gradients(layer, x, change)
        expected = outputs_and_gradients(Dense(copy.deepcopy(layer).double()), x.double(), change)
        for ours, right in zip(found, expected, strict=True):
            # Sums of at most some hundred products, in single precision.
            close = torch.allclose(ours.double(), right, rtol=1e-4, atol=1e-5 * right.abs().max().item())
            assert close, f"{kernel=}, {stride=}, {bias=}, {form}, {name}"


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "sc"])
def test_layer_and_activation_train_in_place_under_autocast(variant, memory_format):
    layer = make_layer(variant, 8, 12, 3, groups=2, padding=1, dtype=torch.float32)
    x = random_input(2, 8, 5, 4, dtype=torch.float32).contiguous(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16):
        y = nn.Sequential(layer, nn.ReLU(inplace=True))(x)
    y.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
    torch.testing.assert_close(y.float(), layer(x).relu(), rtol=0.1, atol=0.5)
