"""Every algorithm gives the numbers of the dense equivalent, forward and backward, whatever the layer and the input."""

import copy
from functools import partial
from unittest import mock

import pytest
import torch
from nn.layers import random_input
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.utils import parametrize

from gc2l.nn import GroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d

TWO_LEVEL = TwoLevelGroupConv2d.ALGORITHMS
GROUP = GroupConv2d.ALGORITHMS
GEOMETRIES = {
    "plain": {"kernel_size": 3},
    "padded": {"kernel_size": 3, "padding": 1},
    "strided": {"kernel_size": 3, "padding": 1, "stride": 2},
    "odd": {"kernel_size": (2, 5), "padding": (3, 1), "stride": (3, 2), "dilation": (2, 1)},
    "dilated": {"kernel_size": 3, "padding": 2, "dilation": 2, "bias": False},
    "wide padding": {"kernel_size": 1, "padding": 2},
    "pointwise": {"kernel_size": 1},
    "strided pointwise": {"kernel_size": 1, "stride": (2, 3), "bias": False},
    "same": {"kernel_size": (2, 4), "padding": "same"},
    "valid": {"kernel_size": 3, "padding": "valid"},
    "reflect": {"kernel_size": 3, "padding": (1, 2), "padding_mode": "reflect"},
    "circular": {"kernel_size": 3, "padding": 1, "padding_mode": "circular", "stride": 2},
}
FORMATS = {
    "contiguous": torch.Tensor.contiguous,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "every other": lambda x: torch.stack([x, x], dim=-1).flatten(3)[..., ::2],
}


# Every geometry in both memory formats, and inputs of other strides once for each kind of kernel.
CASES = [(geometry, form) for geometry in GEOMETRIES for form in ("contiguous", "channels last")]
CASES += [(geometry, form) for geometry in ("odd", "strided pointwise") for form in ("transposed", "every other")]


def two_level(algorithm, *, m=1, channels=(6, 9), groups=3, dtype=torch.float64, **geometry):
    torch.manual_seed(1)
    layer = TwoLevelGroupConv2d(
        *channels, groups=groups, coarse_channels=m, algorithm=algorithm, dtype=dtype, **geometry
    )
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    return layer


def group(algorithm, cls=GroupConv2d, dtype=torch.float64, **geometry):
    torch.manual_seed(1)
    return cls(6, 9, groups=3, algorithm=algorithm, dtype=dtype, **geometry)


def values_and_gradients(layer, x):
    x = x.detach().requires_grad_()
    y = layer(x)
    upstream = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape).to(y.dtype)
    return [y, *torch.autograd.grad(y, [x, *layer.parameters()], upstream)]


def dense(layer):
    """The same function of the same parameters, as one call of F.conv2d with the dense weight."""

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            if layer.padding_mode != "zeros":
                x = F.pad(x, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
            padding = layer.padding if layer.padding_mode == "zeros" else 0
            return F.conv2d(x, layer.dense_weight(), layer.bias, layer.stride, padding, layer.dilation)

    return Dense()


def assert_all_close(ours, expected, tolerance=1e-10):
    for mine, right in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, right, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(("geometry", "form"), CASES)
@pytest.mark.parametrize("algorithm", TWO_LEVEL)
@pytest.mark.parametrize("m", [1, 2])
def test_two_level_equals_the_dense_convolution(algorithm, geometry, form, m):
    layer = two_level(algorithm, m=m, **GEOMETRIES[geometry])
    x = FORMATS[form](random_input(2, 6, 7, 8))
    assert_all_close(values_and_gradients(layer, x), values_and_gradients(dense(layer), x))


GROUP_CASES = [
    (algorithm, geometry, form)
    for geometry, form in CASES
    for algorithm in GROUP
    if algorithm != "matmul" or GEOMETRIES[geometry]["kernel_size"] == 1
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(("algorithm", "geometry", "form"), GROUP_CASES)
@pytest.mark.parametrize("cls", [GroupConv2d, ShuffleGroupConv2d])
def test_group_equals_the_dense_convolution(cls, algorithm, geometry, form):
    layer = group(algorithm, cls, **GEOMETRIES[geometry])
    if cls is ShuffleGroupConv2d:
        nn.init.zeros_(layer.bias) if layer.bias is not None else None
    x = FORMATS[form](random_input(2, 6, 7, 8))
    assert_all_close(values_and_gradients(layer, x)[:3], values_and_gradients(dense(layer), x)[:3])


@pytest.mark.parametrize("algorithm", TWO_LEVEL)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_finite_differences_of_first_and_second_order(algorithm, groups, kernel_size):
    layer = two_level(algorithm, channels=(2, 4), groups=groups, kernel_size=kernel_size, padding=kernel_size // 2)
    names = [name for name, _ in layer.named_parameters()]
    x = random_input(1, 2, 3, 2).requires_grad_()

    def apply(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    inputs = (x, *(value.detach().requires_grad_() for value in layer.parameters()))
    assert torch.autograd.gradcheck(apply, inputs)
    assert torch.autograd.gradgradcheck(apply, inputs, fast_mode=True)


def test_second_derivatives_of_pointwise_group_convolution():
    layer = group("matmul", kernel_size=1)
    x = random_input(2, 6, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,)) and torch.autograd.gradgradcheck(layer, (x,))
    weight = layer.weight
    (first,) = torch.autograd.grad(layer(x).square().sum(), weight, create_graph=True)
    assert torch.autograd.grad(first.sum(), x)[0].any()


# torch.func.jvp still compiles its decompositions with torch.jit.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("algorithm", TWO_LEVEL)
def test_transforms_of_torch_func(algorithm):
    layer = two_level(algorithm, kernel_size=3)
    reference = two_level("separate", kernel_size=3)
    x, direction = random_input(3, 2, 6, 5, 5), random_input(3, 2, 6, 5, 5)
    results = []
    for f in (layer, reference):
        gradient = torch.func.grad(lambda v, f=f: f(v).square().sum())
        with forward_ad.dual_level():
            dual = forward_ad.unpack_dual(f(forward_ad.make_dual(x[0], direction[0])))
        results.append(
            [torch.func.vmap(f)(x), torch.func.vmap(gradient)(x), *torch.func.jvp(f, (x[0],), (direction[0],)), *dual]
        )
    assert_all_close(*results)


@pytest.mark.parametrize("algorithm", TWO_LEVEL)
def test_compiles_in_one_graph(algorithm):
    layer = two_level(algorithm, kernel_size=3, padding=1)
    x = random_input(2, 6, 4, 4)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_all_close(values_and_gradients(layer, x)[0], compiled(x))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("algorithm", TWO_LEVEL)
def test_bfloat16_within_its_precision(algorithm, kernel_size, memory_format):
    layer = two_level(algorithm, channels=(32, 32), groups=4, kernel_size=kernel_size, padding=kernel_size // 2)
    x = random_input(2, 32, 6, 6).to(memory_format=memory_format)
    expected = values_and_gradients(layer, x)
    low = copy.deepcopy(layer).bfloat16()
    for mine, right in zip(values_and_gradients(low, x.bfloat16()), expected, strict=True):
        assert mine.dtype is torch.bfloat16
        # Inputs, weights, z and its gradient are each rounded to 8 bits: a few eps of the largest value.
        assert (mine.double() - right).abs().max() <= 6 * torch.finfo(torch.bfloat16).eps * right.abs().max()


@pytest.mark.parametrize("form", ["contiguous", "channels last"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("make", [two_level, group])
def test_every_algorithm_keeps_the_memory_format(make, kernel_size, stride, form):
    """Outputs and gradients in another format would slow down all the layers around."""
    algorithms = TWO_LEVEL if make is two_level else [way for way in GROUP if kernel_size == 1 or way != "matmul"]
    for algorithm in algorithms:
        layer = make(algorithm, kernel_size=kernel_size, stride=stride)
        x = FORMATS[form](random_input(2, 6, 7, 8))
        if form == "channels last":
            layer.to(memory_format=torch.channels_last)
        y, x_gradient, *_ = values_and_gradients(layer, x)
        for tensor in (y, x_gradient):
            assert tensor.is_contiguous(memory_format=torch.channels_last) == (form == "channels last"), algorithm


@pytest.mark.parametrize("algorithm", TWO_LEVEL)
def test_checkpoints_are_interchangeable(algorithm):
    layer, other = two_level(algorithm, kernel_size=3), two_level("separate", kernel_size=3)
    assert {name: value.shape for name, value in layer.state_dict().items()} == {
        name: value.shape for name, value in other.state_dict().items()
    }
    nn.init.normal_(other.weight)
    layer.load_state_dict(other.state_dict())
    x = random_input(1, 6, 5, 5)
    torch.testing.assert_close(layer(x), other(x))


@pytest.mark.parametrize("algorithm", TWO_LEVEL)
def test_frozen_parameters_and_inputs_get_no_gradient(algorithm):
    layer = two_level(algorithm, kernel_size=3)
    layer.restriction_weight.requires_grad_(False)
    layer(random_input(1, 6, 5, 5)).sum().backward()
    assert layer.restriction_weight.grad is None and layer.weight.grad.any() and layer.coarse_weight.grad.any()


@pytest.mark.parametrize("algorithm", TWO_LEVEL)
def test_parametrized_weights(algorithm):
    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

    layer = two_level(algorithm, kernel_size=3, bias=False)
    x = random_input(1, 6, 5, 5)
    before = layer(x)
    parametrize.register_parametrization(layer, "coarse_weight", Doubled())
    parametrize.register_parametrization(layer, "weight", Doubled())
    torch.testing.assert_close(layer(x), 2 * before)


@pytest.mark.parametrize("cls", [GroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d])
def test_folded_pointwise_layers_are_matrix_products(cls):
    layer = cls(6, 9, 1, groups=3, algorithm="folded")
    nn.init.normal_(layer.bias)
    x = random_input(2, 6, 5, 4).contiguous(memory_format=torch.channels_last)
    with mock.patch("torch.nn.functional.conv2d") as called:
        found = values_and_gradients(layer, x.float())
    assert not called.called
    plain = copy.deepcopy(layer).double()
    plain.algorithm = "auto"  # in double precision the plain formula
    expected = values_and_gradients(plain, x)
    for mine, right in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.double(), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"algorithm": "folded"}])
@pytest.mark.parametrize(
    "cls", [GroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d, partial(TwoLevelGroupConv2d, overlap=0.5)]
)
def test_unknown_algorithm(cls, options):
    with pytest.raises(ValueError, match=r"^algorithm='quick' is unknown; choose one of 'auto', "):
        cls(4, 4, 3, groups=2, algorithm="quick")
    layer = cls(4, 4, 3, groups=2, **options)
    layer.algorithm = "quick"
    with pytest.raises(ValueError, match=r"^algorithm='quick' is unknown; choose one of 'auto', "):
        layer(random_input(1, 4, 5, 5, dtype=torch.float32))


def test_products_need_a_pointwise_kernel():
    with pytest.raises(
        ValueError, match=r"^algorithm='matmul' of a group convolution needs kernel_size=1, not \(3, 1\)$"
    ):
        GroupConv2d(4, 4, (3, 1), groups=2, algorithm="matmul")(random_input(1, 4, 5, 5, dtype=torch.float32))


@pytest.mark.parametrize("algorithm", TWO_LEVEL)
def test_a_wrong_restriction_is_noticed(algorithm):
    layer = two_level(algorithm, kernel_size=3, padding=1)
    x = random_input(2, 6, 5, 5)
    right = dense(copy.deepcopy(layer))(x)
    with torch.no_grad():
        layer.restriction_weight[1, 0, 1, 1] += 1e-3
    with pytest.raises(AssertionError):
        torch.testing.assert_close(layer(x), right)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("algorithm", [name for name in TWO_LEVEL if name not in ("matmul", "triton")])
def test_one_filter_of_channels_last_parameters(algorithm, dtype):
    layer = two_level(algorithm, channels=(8, 1), groups=1, kernel_size=(2, 5), dtype=dtype)
    x = random_input(1, 8, 7, 9).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    parameters = [layer.weight, layer.restriction_weight, layer.coarse_weight, layer.bias]
    outcome = [layer.to(memory_format=torch.channels_last)(x)]
    outcome += torch.autograd.grad(outcome[0].square().sum(), [x, *parameters])
    a, r, c, bias = (value.detach().double().contiguous().requires_grad_() for value in parameters)
    given = x.detach().double().contiguous().requires_grad_()
    expected = [F.conv2d(given, a + c * r, bias)]
    expected += torch.autograd.grad(expected[0].square().sum(), [given, a, r, c, bias])
    for found, right in zip(outcome, expected, strict=True):
        torch.testing.assert_close(found.double(), right, rtol=1e-5, atol=1e-4)
