"""GC-2L whose r takes the mean of each group's channels."""

import copy

import pytest
import torch
from nn.layers import random_input
from torch import nn
from torch.nn import functional as F

from gc2l.edge.describe import describe
from gc2l.models import convert, fuse_batch_norm
from gc2l.nn import GroupConv2d, ShuffleTwoLevelGroupConv2d, TwoLevelGroupConv2d

ALGORITHMS = TwoLevelGroupConv2d.ALGORITHMS
KERNELS = {
    "3 x 3": {"kernel_size": 3, "padding": 1},
    "strided": {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False},
    "pointwise": {"kernel_size": 1, "stride": (2, 1)},
    "dilated": {"kernel_size": (3, 5), "padding": (2, 4), "dilation": 2},
}


def mean_layer(kind=TwoLevelGroupConv2d, dtype=torch.float64, **arguments):
    torch.manual_seed(1)
    layer = kind(6, 9, groups=3, restriction="mean", dtype=dtype, **arguments)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    return layer


def by_definition(layer, x):
    """GC, and C applied to the means of each group's channels: the kernels here have their middle on the output."""
    x = x.double()
    exact = {name: value.double() for name, value in layer.named_parameters()}
    fine = F.conv2d(x, exact["weight"], exact.get("bias"), layer.stride, layer.padding, layer.dilation, layer.groups)
    means = x.unflatten(1, (layer.groups, -1)).mean(2)[:, :, :: layer.stride[0], :: layer.stride[1]]
    return fine + F.conv2d(means, exact["coarse_weight"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_gives_the_means_with_all_gradients(algorithm, kernel, dtype):
    layer = mean_layer(algorithm=algorithm, dtype=dtype, **KERNELS[kernel])
    x = random_input(2, 6, 8, 6, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    inputs = [x, *layer.parameters()]
    found, expected = layer(x), by_definition(layer, x)
    # Sums of some dozens of numbers of size about 1, the gradients of some hundreds.
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    upstream = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).view(found.shape)
    right = torch.autograd.grad(expected, inputs, upstream)
    for mine, wanted in zip(torch.autograd.grad(found, inputs, upstream.to(dtype)), right, strict=True):
        torch.testing.assert_close(mine.double(), wanted.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [TwoLevelGroupConv2d, ShuffleTwoLevelGroupConv2d])
def test_its_other_forms_compute_the_same(kind):
    layer = mean_layer(kind, kernel_size=3, padding=1).eval()
    x = random_input(2, 6, 5, 5)
    y = layer(x)
    forms = [
        layer.to_dense(),
        copy.deepcopy(layer),
        torch.export.export(layer, (x,)).module(),
        fuse_batch_norm(layer, nn.BatchNorm2d(9, eps=0.0).double().eval()),
    ]
    for form in forms:
        torch.testing.assert_close(form(x), y, rtol=1e-10, atol=1e-10)
    described = describe(layer.float())
    if kind is TwoLevelGroupConv2d:
        assert torch.equal(described.restriction, layer.restriction_weight)


def test_r_is_no_parameter_and_no_part_of_the_state():
    layer, learned = mean_layer(kernel_size=3), TwoLevelGroupConv2d(6, 9, 3, groups=3)
    names = {"weight", "coarse_weight", "bias"}
    assert set(layer.state_dict()) == {name for name, _ in layer.named_parameters()} == names
    assert sum(value.numel() for value in layer.parameters()) == 9 * 2 * 9 + 3 * 9 + 9
    other = mean_layer(kernel_size=3)
    nn.init.normal_(layer.weight)
    other.load_state_dict(layer.state_dict())
    x = random_input(1, 6, 5, 5)
    assert torch.equal(other(x), layer(x))
    # A learned r must not be lost.
    with pytest.raises(RuntimeError, match=r"Unexpected key.*restriction_weight"):
        layer.load_state_dict(learned.state_dict())


def test_a_seed_gives_a_and_c_of_the_layer_that_learns_r():
    layer = mean_layer(kernel_size=3, bias=False)
    torch.manual_seed(1)
    usual = TwoLevelGroupConv2d(6, 9, 3, groups=3, bias=False, dtype=torch.float64)
    assert torch.equal(layer.weight, usual.weight) and torch.equal(layer.coarse_weight, usual.coarse_weight)
    assert repr(layer) == repr(usual).replace("coarse_channels=1", "coarse_channels=1, restriction=mean")


def test_overlapping_blocks():
    layer = mean_layer(kernel_size=3, padding=1, overlap=0.5)
    x = random_input(2, 6, 5, 5)
    fine = layer.dense_weight().detach().clone()
    coarse = layer.coarse_weight.repeat_interleave(2, 1)[:, :, 0, 0] / 2
    fine[:, :, 1, 1] -= coarse  # what is left reads a group and one channel on either side
    assert [int(row.any((1, 2)).sum()) for row in fine.detach().where(fine.abs() > 1e-12, 0)] == [4] * 9
    torch.testing.assert_close(layer.to_dense()(x), layer(x))


def test_conversion_keeps_the_norm_of_the_weight():
    conv = nn.Conv2d(12, 18, 3, dtype=torch.float64)
    layer = convert(conv, "gc2l", 3, restriction="mean")
    torch.testing.assert_close(layer.dense_weight().norm(), conv.weight.norm())
    assert torch.equal(layer.restriction_weight, mean_of(4, layer))


def test_the_nearest_weights_are_a_projection():
    conv = nn.Conv2d(12, 18, 3, dtype=torch.float64)
    layer = convert(conv, "gc2l", 3, weights="nearest", restriction="mean")
    assert torch.equal(layer.restriction_weight, mean_of(4, layer))
    distance = (layer.dense_weight() - conv.weight).square().sum()
    for gradient in torch.autograd.grad(distance, [layer.weight, layer.coarse_weight]):
        assert gradient.abs().max() < 1e-10
    again = convert(layer.to_dense(), "gc2l", 3, weights="nearest", restriction="mean")
    torch.testing.assert_close(again.dense_weight(), layer.dense_weight(), rtol=1e-10, atol=1e-12)
    assert torch.equal(layer.to_dense().bias, conv.bias)


def mean_of(channels, layer):
    filters = torch.zeros_like(layer.restriction_weight)
    filters[:, :, 1, 1] = 1 / channels
    return filters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restriction": "median"}, r"restriction='median'.*'mean'"),
        ({"restriction": "mean", "coarse_channels": 2}, r"restriction='mean' with coarse_channels=2: .* must be 1"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        TwoLevelGroupConv2d(6, 9, 3, groups=3, **options)


def test_without_its_coarse_level_it_is_the_group_convolution():
    layer = mean_layer(kernel_size=3)
    conv = layer.group_conv()
    assert type(conv) is GroupConv2d and torch.equal(conv.weight, layer.weight)


@pytest.mark.parametrize("assign", [False, True])
def test_a_layer_made_on_the_meta_device_has_its_mean_when_a_state_is_loaded(assign):
    made = mean_layer(kernel_size=3)
    with torch.device("meta"):
        layer = mean_layer(kernel_size=3)
    if not assign:
        layer.to_empty(device="cpu")
        layer.restriction_weight.fill_(torch.nan)
    layer.load_state_dict(made.state_dict(), assign=assign)
    x = random_input(2, 6, 5, 5)
    assert torch.equal(layer(x), made(x))
