"""What the convolutions share: the standard convolution each equals, gradients, initial weights, checks of groups."""

import copy
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nn.layers import has_coarse_channels, layer_class, make_layer, random_input
from oracles import ORACLES
from torch import nn
from torch.func import functional_call

from gc2l.models import convert
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d, make_conv
from gc2l.nn.arguments import check_groups
from gc2l.variants import VARIANTS


@st.composite
def layers_and_inputs(draw, variant):
    """A layer of the variant with random geometry, and an input at least as large as its kernel."""
    pair = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(2))  # noqa: E731
    groups = draw(st.integers(1, 16))
    if VARIANTS[variant].requires_divisible:
        c_in, c_out = (groups * draw(st.integers(1, 2)) for _ in range(2))
    else:
        c_in, c_out = pair(1, 8)
    kernel_size, stride, dilation, padding = pair(1, 5), pair(1, 3), pair(1, 3), pair(0, 2)
    layer = make_layer(
        variant,
        c_in,
        c_out,
        kernel_size,
        groups=groups,
        coarse_channels=draw(st.integers(1, 3)),
        stride=stride,
        padding=padding,
        dilation=dilation,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    )
    smallest = [max(p + 1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel_size, dilation, padding, strict=True)]
    height, width = (size + extra for size, extra in zip(smallest, pair(0, 3), strict=True))
    return layer, random_input(draw(st.integers(1, 2)), c_in, height, width)


def bias_order(layer):
    """Which entry of the layer's bias each output channel receives."""
    numbered = copy.deepcopy(layer)
    with torch.no_grad():
        numbered.bias.copy_(torch.arange(len(numbered.bias)))
    return numbered.to_dense().bias.long()


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_its_standard_convolution_in_output_and_gradients(variant):
    @given(layers_and_inputs(variant))
    def check(case):
        layer, x = case
        dense = layer.to_dense()
        assert type(dense) is nn.Conv2d and dense.groups == 1
        x.requires_grad_()
        y = layer(x)
        torch.testing.assert_close(y, dense(x), rtol=1e-11, atol=1e-11)

        chained = {"weight": layer.dense_weight()}
        assert torch.equal(chained["weight"], dense.weight)
        if layer.bias is not None:
            chained["bias"] = layer.bias[bias_order(layer)]
        cotangent = random_input(*y.shape, seed=2)
        inputs = {"x": x, **dict(layer.named_parameters())}
        through_layer = torch.autograd.grad(y, list(inputs.values()), cotangent)
        through_dense = torch.autograd.grad(functional_call(dense, chained, (x,)), list(inputs.values()), cotangent)
        for name, ours, theirs in zip(inputs, through_layer, through_dense, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")

    check()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_standard_convolution_has_weights_of_its_own_and_the_same_settings(variant):
    layer = make_layer(
        variant, 4, 6, (3, 2), groups=2, stride=2, padding=1, dilation=(1, 2), padding_mode="circular"
    ).eval()
    dense = layer.to_dense()
    x = random_input(2, 4, 7, 6)
    before = dense(x)
    assert not dense.training and dense.weight.dtype is torch.float64
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in dense.parameters())
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert torch.equal(dense(x), before)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_equal_finite_differences(variant):
    layer = make_layer(variant, 4, 4, (3, 2), groups=2, stride=(1, 2), padding=1, coarse_channels=2)
    # FLGC's gradients to its logits are estimates by construction: see test_learnable.py.
    names = [name for name, _ in layer.named_parameters() if not name.endswith("_logits")]

    def apply(x, *values):
        return functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    values = [layer.get_parameter(name) for name in names]
    assert torch.autograd.gradcheck(apply, (random_input(2, 4, 3, 4).requires_grad_(), *values))


@pytest.mark.parametrize("coarse_channels", [1, 8])
@pytest.mark.parametrize("variant", VARIANTS)
def test_initial_weights_are_normal_with_the_documented_spread_and_biases_zero(variant, coarse_channels):
    torch.manual_seed(0)
    k, c_in, c_out = 3, 512, 256
    groups = 1 if variant == "sc" else 8
    further = {"coarse_channels": coarse_channels} if has_coarse_channels(variant) else {}
    layer = layer_class(variant)(c_in, c_out, k, groups=groups, **further)
    expected = ORACLES[variant].fan_out(k * k, c_out, groups, coarse_channels)
    assert set(expected) == {name for name, _ in layer.named_parameters()} - {"bias"}
    for name, fan_out in expected.items():
        values, std = layer.get_parameter(name).detach(), math.sqrt(2 / fan_out)
        # Five standard errors of the mean and of the standard deviation of so many normal numbers.
        assert values.mean().abs() < 5 * std / math.sqrt(values.numel())
        assert abs(values.std() / std - 1) < 5 / math.sqrt(2 * values.numel())
        assert values.abs().max() > 2.5 * std  # a uniform distribution ends at 1.73
    assert torch.equal(layer.bias, torch.zeros(c_out))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_seed_decides_the_initial_weights(variant):
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        layer = layer_class(variant)(4, 4, 3, groups=1 if variant == "sc" else 2)
        weights.append(dict(layer.named_parameters()))
    first, again, other = weights
    for name in set(first) - {"bias"}:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("value", [2.0, "2", None])
@pytest.mark.parametrize(
    ("variant", "name"),
    [(variant, name) for variant in VARIANTS for name in ("in_channels", "out_channels", "groups")]
    + [(variant, "coarse_channels") for variant in VARIANTS if has_coarse_channels(variant)],
)
def test_numbers_that_are_not_whole(variant, name, value):
    numbers = {"in_channels": 4, "out_channels": 4, "groups": 1, name: value}
    with pytest.raises(ValueError, match=rf"^{name}={value!r} must be a whole number"):
        layer_class(variant)(**numbers, kernel_size=3)


@pytest.mark.parametrize("groups", [0, -1])
@pytest.mark.parametrize("variant", VARIANTS)
def test_groups_below_one(variant, groups):
    with pytest.raises(ValueError, match=rf"^groups={groups} must be at least 1$"):
        layer_class(variant)(4, 4, 3, groups=groups)


@pytest.mark.parametrize("variant", [name for name, v in VARIANTS.items() if v.requires_divisible])
def test_groups_that_do_not_divide_the_channels(variant):
    with pytest.raises(ValueError) as error:
        layer_class(variant)(12, 18, 3, groups=4)
    assert str(error.value) == (
        "out_channels=18 is not divisible by groups=4; with in_channels=12 and out_channels=18 groups can be 1, 2, 3, 6"
    )
    with pytest.raises(ValueError, match=r"^in_channels=9 is not divisible by groups=4; .* groups can be 1$"):
        layer_class(variant)(9, 8, 3, groups=4)


def test_every_number_of_groups_that_the_message_offers_is_accepted():
    for groups in (1, 2, 3, 6):
        check_groups(12, 18, groups)
        assert GroupConv2d(12, 18, 1, groups=groups).groups == groups


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel_size", 0),
        ("kernel_size", (3,)),
        ("kernel_size", 3.0),
        ("kernel_size", "33"),
        ("kernel_size", np.float64(3)),
        ("stride", 0),
        ("stride", ()),
        ("dilation", 0),
        ("padding", -1),
    ],
)
def test_a_window_that_is_none_is_refused_by_name(variant, name, value):
    arguments = {"kernel_size": 3, name: value}
    kernel_size = arguments.pop("kernel_size")
    with pytest.raises(ValueError, match=f"{name}={re.escape(repr(value))} must be a whole number"):
        make_conv(variant, 8, 8, kernel_size, groups=1, **arguments)


@pytest.mark.parametrize("variant", VARIANTS)
def test_layers_without_channels_are_refused_by_name(variant):
    with pytest.raises(ValueError, match="out_channels=0 must be at least 1"):
        make_conv(variant, 8, 0, 3, groups=1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("padding", [1, "same", "valid"])
def test_stride_dilation_and_padding_can_be_changed_later(variant, padding):
    # What segmentation networks do to a backbone.
    layer = make_layer(variant, 6, 9, 3, groups=3, padding=padding, stride=1 if padding == "same" else 2)
    layer.stride, layer.dilation = (1, 1), (2, 3)
    if padding == 1:
        layer.padding = (2, 3)
    x = random_input(2, 6, 9, 9)
    expected = layer.to_dense()(x)
    assert expected.shape[2:] == ((5, 3) if padding == "valid" else (9, 9))
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_changes_may_be_single_numbers_lists_and_numpy_integers(variant):
    layer = make_layer(variant, 6, 9, 3, groups=3, padding="same")
    conv = layer.to_dense()
    x = random_input(2, 6, 9, 9)
    changes = ("dilation", 2), ("padding", [2, 3]), ("stride", 2), ("stride", [1, 2]), ("stride", np.int64(2))
    for name, value in changes:
        for each in (layer, conv):
            setattr(each, name, value)
        torch.testing.assert_close(layer(x), conv(x), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(layer(x), layer.to_dense()(x), rtol=1e-12, atol=1e-12)


# Padding, dilation, mode at the beginning, and what becomes of the first two.
CHANGED_PADDING = [
    (1, 1, "reflect", {"padding": (2, 2)}),
    ("same", 1, "circular", {"dilation": (2, 2)}),
    ("same", (1, 2), "replicate", {"dilation": (2, 1), "padding": "valid"}),
    (1, 1, "zeros", {"padding": (2, 2), "padding_mode": "circular"}),
]


@pytest.mark.parametrize(("padding", "dilation", "mode", "changes"), CHANGED_PADDING)
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_changed_padding_of_other_modes_does_is_copied(variant, padding, dilation, mode, changes):
    # PyTorch keeps the padding of the beginning.
    settings = {"padding": padding, "dilation": dilation, "padding_mode": mode}
    layer = make_layer(variant, 8, 8, (3, 2), groups=2, **settings)
    theirs = nn.Conv2d(8, 8, (3, 2), dtype=torch.float64, **settings)
    theirs.load_state_dict(layer.to_dense().state_dict())
    for name, value in changes.items():
        setattr(layer, name, value)
        setattr(theirs, name, value)
    x = random_input(2, 8, 9, 9)
    for copied in (layer, layer.to_dense(), copy.deepcopy(layer)):
        torch.testing.assert_close(copied(x), theirs(x), rtol=1e-12, atol=1e-12)
    converted = convert(copy.deepcopy(theirs), variant, 1 if variant == "sc" else 2)
    assert converted(x).shape == theirs(x).shape
    with_level = TwoLevelGroupConv2d.from_group_conv(theirs)
    for copied in (with_level, with_level.group_conv()):
        torch.testing.assert_close(copied(x), theirs(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_numpy_integers_are_whole_numbers(variant):
    one, two, eight, of_kernel = np.int64(1), np.int32(2), np.int64(8), np.array([3, 2])
    groups = one if variant == "sc" else two
    further = {"coarse_channels": two} if has_coarse_channels(variant) else {}
    layer = layer_class(variant)(
        eight, eight, tuple(of_kernel), one, (one, two), dilation=[one, one], groups=groups, **further
    )
    for name in ("in_channels", "out_channels", "groups", *further):
        assert type(getattr(layer, name)) is int
    for name in ("kernel_size", "stride", "padding", "dilation"):
        assert [type(number) for number in getattr(layer, name)] == [int, int]
    assert layer.kernel_size == (3, 2) and layer.padding == (1, 2)
