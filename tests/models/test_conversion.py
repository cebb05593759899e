import copy
import logging

import pytest
import torch
from torch import nn

from gc2l.analysis.claims.approximation import approximation_errors
from gc2l.models import convert, plan_conversion, wide_resnet_cifar
from gc2l.models.torchvision_import import torchvision
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.variants import VARIANTS

GROUPED = [name for name in VARIANTS if name != "sc"]


def _resnet18() -> nn.Module:
    return torchvision.models.resnet18(num_classes=10)


def _timm() -> nn.Module:
    timm = pytest.importorskip("timm", reason="timm is in the dev extra only")
    return timm.create_model("resnet10t", pretrained=False, num_classes=10)


def _with_dense_layers(network: nn.Module) -> nn.Module:
    """A copy in which every converted layer is replaced by the standard convolution that it equals."""
    dense = copy.deepcopy(network)
    for parent in list(dense.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "to_dense"):
                setattr(parent, name, child.to_dense())
    return dense


@pytest.mark.parametrize("make", [_resnet18, _timm])
@pytest.mark.parametrize("variant", GROUPED)
def test_converted_networks_run_backward_and_equal_their_dense_form(make, variant):
    network = make().double()
    before = sum(type(module) is nn.Conv2d for module in network.modules())
    assert convert(network, variant, 4) is network
    replaced = sum(hasattr(module, "to_dense") for module in network.modules())
    assert replaced > before // 2
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    dense = _with_dense_layers(network)
    assert not any(hasattr(module, "to_dense") for module in dense.modules())
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    torch.testing.assert_close(network(first), dense(second), rtol=1e-8, atol=1e-8)
    network(first).square().sum().backward()
    dense(second).square().sum().backward()
    torch.testing.assert_close(first.grad, second.grad, rtol=1e-7, atol=1e-7)
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    ("name", "variant"),
    [("regnety_008", "gc2l"), ("ghostnet_100", "gc2l"), *(("mobilenetv3_small_100", variant) for variant in GROUPED)],
)
def test_converted_networks_with_activations_in_place_train(name, variant):
    timm = pytest.importorskip("timm", reason="timm is in the dev extra only")
    network = timm.create_model(name, pretrained=False, num_classes=4)
    convert(network.to(memory_format=torch.channels_last), variant, 2)
    assert any(hasattr(module, "to_dense") for module in network.modules())
    assert any(getattr(module, "inplace", False) for module in network.modules())
    x = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last).requires_grad_()
    network(x).square().sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()
    # An output that is overwritten before it is used would show as a function of something else.
    dense = _with_dense_layers(network).eval().double()
    x = x.detach()
    torch.testing.assert_close(network.eval()(x).double(), dense(x.double()), rtol=1e-3, atol=1e-3)


def test_geometry_dtype_and_mode_are_kept():
    conv = nn.Conv2d(8, 12, (3, 2), (2, 1), "valid", (1, 2), bias=False, padding_mode="zeros", dtype=torch.float64)
    layer = convert(conv.eval(), "gc2l", 4, coarse_channels=2)
    assert type(layer) is TwoLevelGroupConv2d
    for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode", "in_channels", "out_channels"):
        assert getattr(layer, name) == getattr(conv, name)
    assert layer.bias is None
    assert layer.weight.dtype == torch.float64
    assert layer.coarse_channels == 2
    assert not layer.training
    assert convert(nn.Conv2d(8, 8, 1, device="meta"), "gc", 2).weight.device.type == "meta"


def test_the_report_names_every_convolution_and_why_it_is_left(caplog):
    class Odd(nn.Conv2d):
        pass

    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), Odd(8, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 16, 1)
    )
    plan = plan_conversion(network, "gc", 4, where=lambda name, conv: conv.out_channels != 16)
    assert [(decision.name, decision.replaced) for decision in plan] == [
        ("0", False),
        ("1", False),
        ("2", False),
        ("3", True),
        ("4", False),
    ]
    reasons = [decision.reason for decision in plan]
    assert "groups=4 does not divide 3 to 8 channels" in reasons[0]
    assert "groups=8 already" in reasons[1]
    assert "Odd" in reasons[2]
    assert "where" in reasons[4]
    assert all(type(module) in (nn.Sequential, nn.Conv2d, Odd) for module in network.modules())  # nothing replaced yet
    with caplog.at_level(logging.INFO, logger="gc2l"):
        convert(network, "gc", 4, where=lambda name, conv: conv.out_channels != 16)
    assert [record.getMessage() for record in caplog.records] == [
        f"{'replaced' if decision.replaced else 'left'} {decision.name}: {decision.reason}" for decision in plan
    ]
    assert [type(module) for module in network] == [nn.Conv2d, nn.Conv2d, Odd, GroupConv2d, nn.Conv2d]


def test_flgc_needs_no_divisor_but_enough_channels():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 10, 1))
    assert [decision.replaced for decision in plan_conversion(network, "flgc", 4)] == [False, True]
    assert [decision.replaced for decision in plan_conversion(network, "gc", 4)] == [False, False]


def test_a_shared_layer_is_replaced_once_under_all_its_names():
    shared = nn.Conv2d(8, 8, 1)
    network = nn.ModuleDict({"first": shared, "inner": nn.Sequential(nn.ReLU(), shared)})
    convert(network, "gc", 2)
    assert type(network["first"]) is GroupConv2d
    assert network["inner"][1] is network["first"]


def test_a_layer_shared_within_one_parent_is_replaced_under_both_names():
    shared = nn.Conv2d(8, 8, 1)
    network = nn.Sequential(shared, nn.ReLU(), shared)
    assert [decision.name for decision in plan_conversion(network, "gc", 2)] == ["0"]
    convert(network, "gc", 2)
    assert type(network[0]) is GroupConv2d
    assert network[2] is network[0]


def test_tied_weights_and_hooks_are_not_lost():
    network = nn.Sequential(*(nn.Conv2d(8, 8, 1) for _ in range(5)))
    network[1].weight = network[0].weight
    network[2].register_forward_hook(lambda module, inputs, output: output)
    network[4].forward = lambda x: x
    plan = plan_conversion(network, "gc", 2)
    assert [decision.replaced for decision in plan] == [False, False, False, True, False]
    assert "shares its weights" in plan[0].reason and "hooks" in plan[2].reason and "forward" in plan[4].reason
    assert convert(network, "gc", 2)[1].weight is network[0].weight


def test_replacements_are_fresh_and_trainable():
    conv = nn.Conv2d(8, 8, 3).requires_grad_(False)
    layer = convert(conv, "gc", 1)
    assert type(layer) is GroupConv2d
    assert not torch.equal(layer.weight, conv.weight)
    assert all(parameter.requires_grad for parameter in layer.parameters())


@pytest.mark.parametrize(("variant", "coarse", "error"), [("gc", 2, TypeError), ("gc2l", 0, ValueError)])
def test_wrong_coarse_channels_are_refused_and_nothing_is_replaced(variant, coarse, error):
    network = _resnet18()
    with pytest.raises(error, match="coarse_channels"):
        convert(network, variant, 4, coarse_channels=coarse)
    assert not any(isinstance(module, GroupConv2d) for module in network.modules())


@pytest.mark.parametrize(
    ("variant", "groups", "message"), [("conv", 2, "'conv'"), ("gc", 0, "groups=0"), ("sc", 2, "groups=2")]
)
def test_wrong_variants_are_refused_and_nothing_is_replaced(variant, groups, message):
    network = _resnet18()
    with pytest.raises(ValueError, match=message):
        convert(network, variant, groups)
    assert not any(isinstance(module, GroupConv2d) for module in network.modules())


def _spread(network: nn.Module, *, train: bool) -> float:
    x = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network.train(train)(x).std().item()


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("name", "variant"), [("densenet121", "gc2l"), *(("resnet18", variant) for variant in GROUPED)]
)
def test_fresh_weights_keep_the_scale_of_the_outputs(name, variant, train):
    """densenet121 starts with fan_in, and our own start with fan_out puts out 3e8 times as much in evaluation mode."""
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(num_classes=10)
    before = _spread(copy.deepcopy(network), train=train)
    after = _spread(convert(copy.deepcopy(network), variant, 4), train=train)
    assert 1 / 4 < after / before < 4
    if (name, variant, train) == ("densenet121", "gc2l", False):
        assert _spread(convert(network, variant, 4, weights="unscaled"), train=train) / before > 1e6


@pytest.mark.parametrize("variant", GROUPED)
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_fresh_weights_have_the_norm_of_the_old_ones(variant, kernel_size):
    conv = nn.Conv2d(16, 24, kernel_size)
    layer = convert(conv, variant, 4)
    assert layer.dense_weight().norm().item() == pytest.approx(conv.weight.norm().item(), rel=1e-5)
    zero = nn.Conv2d(16, 24, kernel_size)
    nn.init.zeros_(zero.weight)
    assert not convert(zero, variant, 4).dense_weight().any()


def test_unscaled_weights_are_those_of_the_layer():
    torch.manual_seed(0)
    layer = convert(nn.Conv2d(8, 8, 3, device="meta").to_empty(device="cpu"), "gc2l", 2, weights="unscaled")
    torch.manual_seed(0)
    expected = TwoLevelGroupConv2d(8, 8, 3, groups=2)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize(("coarse", "index"), [(None, 0), (1, 1), (3, 1)])
@pytest.mark.parametrize(("c_in", "c_out", "kernel_size", "groups"), [(16, 24, 3, 4), (8, 8, 1, 2), (12, 6, (3, 1), 3)])
def test_nearest_weights_have_the_smallest_error_there_is(c_in, c_out, kernel_size, groups, coarse, index):
    """That of `approximation_errors`, which takes it from singular values alone and is tested against an optimiser."""
    conv = nn.Conv2d(c_in, c_out, kernel_size, dtype=torch.float64)
    options = {} if coarse is None else {"coarse_channels": coarse}
    layer = convert(conv, "gc" if coarse is None else "gc2l", groups, weights="nearest", **options)
    error = ((layer.dense_weight() - conv.weight).square().sum() / conv.weight.square().sum()).item()
    assert error == pytest.approx(approximation_errors(conv.weight.detach(), groups, coarse or 1)[index], abs=1e-12)
    assert torch.equal(layer.bias, conv.bias)


@pytest.mark.parametrize("variant", ["shuffle", "scc", "gc2l_shuffle"])
def test_nearest_weights_are_a_projection(variant):
    """No change of any parameter comes nearer, and a layer's own dense weight is met exactly, with its bias."""
    conv = nn.Conv2d(12, 18, 3, dtype=torch.float64)
    layer = convert(conv, variant, 3, weights="nearest")
    distance = (layer.dense_weight() - conv.weight).square().sum()
    for gradient in torch.autograd.grad(
        distance, [value for name, value in layer.named_parameters() if name != "bias"]
    ):
        assert gradient.abs().max() < 1e-10
    again = convert(layer.to_dense(), variant, 3, weights="nearest")
    torch.testing.assert_close(again.dense_weight(), layer.dense_weight(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(again.to_dense().bias, conv.bias)


def test_a_coarse_level_that_has_nothing_to_approximate_can_still_learn():
    conv = GroupConv2d(8, 8, 3, groups=2, padding=1).to_dense()
    layer = convert(conv, "gc2l", 2, weights="nearest", coarse_channels=2)
    assert not layer.coarse_weight.any()
    torch.testing.assert_close(layer.dense_weight(), conv.weight)
    layer(torch.randn(1, 8, 4, 4)).square().sum().backward()
    assert layer.coarse_weight.grad.any()
    few = convert(nn.Conv2d(2, 4, 1), "gc2l", 2, weights="nearest", coarse_channels=3)
    assert few.restriction_weight.shape == (6, 1, 1, 1) and few.dense_weight().isfinite().all()


def test_our_own_standard_convolution_is_converted_too():
    network = wide_resnet_cifar(10, 1)
    convert(network, "gc2l", 4)
    assert type(network.stages[0][0].conv1) is TwoLevelGroupConv2d
    assert type(network.stem) is GroupConv2d  # 3 channels


def test_nearest_weights_of_one_group_are_the_old_ones():
    conv = nn.Conv2d(4, 6, 3)
    assert torch.equal(convert(conv, "gc2l", 1, weights="nearest").weight, conv.weight)


@pytest.mark.parametrize(
    ("variant", "options", "message"),
    [
        ("flgc", {}, r"weights='nearest' with variant='flgc': .* use weights='fresh'"),
        ("gc2l", {"overlap": 0.5}, r"with overlap=0.5 there is no closed form .* use weights='fresh'"),
        ("gc", {"weights": "best"}, r"weights='best' is unknown; choose one of 'fresh', 'nearest', 'unscaled'"),
    ],
)
def test_weights_that_there_are_not_are_refused_and_nothing_is_replaced(variant, options, message):
    network = _resnet18()
    with pytest.raises(ValueError, match=message):
        convert(network, variant, 4, **{"weights": "nearest"} | options)
    assert not any(hasattr(module, "to_dense") for module in network.modules())
