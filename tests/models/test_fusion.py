"""A fused layer or network computes, in float64, what it computed before; and nothing is fused that must not be."""

import copy
import logging
from types import MethodType, SimpleNamespace

import pytest
import torch
from nn.layers import make_layer, random_input
from torch import nn
from torch.nn.utils import parametrizations, prune

from gc2l.models import convert, fuse_batch_norm, mobilenet_v2, wide_resnet_cifar, wide_resnet_imagenet
from gc2l.models.torchvision_import import torchvision
from gc2l.variants import VARIANTS

GROUPED = [name for name in VARIANTS if name != "sc"]


def randomise(network):
    """Random numbers in every norm of `network`, in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            for parameter in module.parameters(recurse=False):
                nn.init.uniform_(parameter, 0.5, 1.5, generator=generator)
    return network.eval()


def norm_count(network):
    return sum(isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm) for module in network.modules())


def assert_fused(network, x, *, left):
    """Fuse `network`, and compare its outputs and the number of norms that are left."""
    before = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        fused, expected = fuse_batch_norm(network), network(x)
        torch.testing.assert_close(fused(x), expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
    assert type(fused) is type(network)
    assert norm_count(fused) == left
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make_norm", [nn.BatchNorm2d, nn.SyncBatchNorm])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_layer_takes_up_the_norm(variant, affine, make_norm, bias):
    options = {"padding": 1, "padding_mode": "reflect", "stride": (1, 2), "bias": bias, "coarse_channels": 2}
    layer = make_layer(variant, 8, 12, 3, groups=4, **options).eval()
    norm = randomise(make_norm(12, affine=affine, eps=0.1).double())
    fused = fuse_batch_norm(layer, norm)
    assert type(fused) is type(layer)
    x = random_input(3, 8, 6, 5)
    torch.testing.assert_close(fused(x), norm(layer(x)), rtol=1e-12, atol=1e-12)
    assert (layer.bias is not None) == bias
    assert not fused.training
    twin = copy.deepcopy(fused)
    assert torch.equal(twin(x), fused(x))
    torch.testing.assert_close(fused.to_dense()(x), fused(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_16_bits_lose_no_more_than_the_rounding_of_the_weights(variant):
    layer = make_layer(variant, 8, 12, 3, groups=4, dtype=torch.bfloat16).eval()
    norm = randomise(nn.BatchNorm2d(12))
    fused = fuse_batch_norm(layer, norm)
    assert {parameter.dtype for parameter in fused.parameters()} == {torch.bfloat16}
    exact = fuse_batch_norm(copy.deepcopy(layer).double(), copy.deepcopy(norm).double())
    for name, value in fused.named_parameters():
        torch.testing.assert_close(value, exact.get_parameter(name).bfloat16(), rtol=2**-7, atol=2**-7)


def test_the_scale_of_a_16_bit_layer_is_not_rounded_before_it_meets_the_mean():
    layer, norm = nn.Conv2d(1, 1, 1, dtype=torch.bfloat16, bias=False).eval(), nn.BatchNorm2d(1, eps=0).eval()
    norm.running_var.fill_(3)
    norm.running_mean.fill_(1000)
    nn.init.constant_(norm.bias, 1000 / 3**0.5)
    assert fuse_batch_norm(layer, norm).bias.abs().item() < 1e-3  # s rounded to 16 bits would leave 0.8


def test_a_fused_layer_keeps_whether_it_can_be_trained():
    layer = make_layer("gc2l", 8, 12, 3, groups=4, bias=False).eval().requires_grad_(False)
    fused = fuse_batch_norm(layer, randomise(nn.BatchNorm2d(12).double()))
    assert not any(parameter.requires_grad for parameter in fused.parameters())


def hooked_norm():
    norm = nn.BatchNorm2d(8)
    norm.register_forward_hook(lambda module, inputs, output: 2 * output)
    return norm


@pytest.mark.parametrize(
    ("layer", "norm", "error", "message"),
    [
        (nn.ConvTranspose2d(8, 8, 1), nn.BatchNorm2d(8), TypeError, "layer is a ConvTranspose2d"),
        (parametrizations.weight_norm(nn.Conv2d(8, 8, 1)), nn.BatchNorm2d(8), TypeError, "ParametrizedConv2d"),
        (nn.Conv2d(8, 8, 1), nn.InstanceNorm2d(8), TypeError, "norm is a InstanceNorm2d"),
        (nn.Conv2d(8, 4, 1), nn.BatchNorm2d(8), ValueError, "num_features=8.*out_channels=4"),
        (nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, track_running_stats=False), ValueError, "running statistics"),
        (prune.l1_unstructured(nn.Conv2d(8, 8, 1), "weight", 0.5), nn.BatchNorm2d(8), ValueError, "layer has hooks"),
        (nn.Conv2d(8, 8, 1), hooked_norm(), ValueError, "norm has hooks"),
    ],
)
def test_what_cannot_be_fused_is_refused(layer, norm, error, message):
    with pytest.raises(error, match=message):
        fuse_batch_norm(layer.eval(), norm.eval())


def test_training_mode_and_a_layer_alone_are_refused():
    layer, norm = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
    with pytest.raises(ValueError, match=r"layer is in training mode.*eval"):
        fuse_batch_norm(layer, norm.eval())
    with pytest.raises(ValueError, match="norm is in training mode"):
        fuse_batch_norm(layer.eval(), norm.train())
    with pytest.raises(ValueError, match=r"module is in training mode.*module\.eval"):
        fuse_batch_norm(nn.Sequential(layer, norm))
    with pytest.raises(ValueError, match="single Conv2d"):
        fuse_batch_norm(layer)


# Pre-activation: in a unit only the norm between its two convolutions follows one. The stem feeds a norm alone only
# where it is not followed by pooling and the first unit has a shortcut of its own.
@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda variant, n: wide_resnet_cifar(10, 1, variant, n), 4),
        (lambda variant, n: wide_resnet_cifar(10, 2, variant, n), 3),
        (lambda variant, n: wide_resnet_imagenet(10, 1, variant, n), 5),
        (lambda variant, n: mobilenet_v2(variant, n, 10, 0.25), 0),
    ],
    ids=["wide_resnet_cifar", "wider", "wide_resnet_imagenet", "mobilenet_v2"],
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_networks_of_the_paper(variant, make, left):
    network = randomise(make(variant, 1 if variant == "sc" else 4).double())
    assert_fused(network, random_input(2, 3, 32, 32), left=left)


@pytest.mark.parametrize("variant", GROUPED)
def test_converted_resnet(variant):
    network = randomise(convert(torchvision.models.resnet18(num_classes=10), variant, 4).double())
    assert_fused(network, random_input(2, 3, 32, 32), left=0)


# Left are, in EfficientNet, those after timm's Conv2dSame, in EfficientViT those in or around what cannot be traced.
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("resnet10t", 0),
        ("regnety_002", 0),
        ("mobilenetv3_small_050", 0),
        ("ghostnet_050", 0),
        ("tf_efficientnet_lite0", 5),
        ("efficientvit_b0", 4),
    ],
)
def test_converted_networks_of_timm(name, left):
    timm = pytest.importorskip("timm", reason="timm is in the dev extra only")
    network = randomise(convert(timm.create_model(name, num_classes=10), "gc2l", 2).double())
    assert_fused(network, random_input(2, 3, 64, 64), left=left)


class Flow(nn.Module):
    """A convolution, a norm, and what the subclass does with them."""

    def __init__(self):
        super().__init__()
        self.conv = make_layer("gc2l", 4, 4, 3, groups=2, padding=1)
        self.norm = nn.BatchNorm2d(4).double()


class Plain(Flow):
    def forward(self, x):
        return self.norm(self.conv(x))


class NormFirst(Flow):
    def forward(self, x):
        return self.conv(self.norm(x))


class OutputUsedAgain(Flow):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


class ChangedInBetween(Flow):
    def forward(self, x):
        y = self.conv(x).clone()
        y.mul_(2)
        return self.norm(y)


class OutputStored(Flow):
    """In an attribute, a slot of a list, and deeper."""

    def __init__(self):
        super().__init__()
        self.slots, self.deep, self.cache = [None], {"y": [None]}, SimpleNamespace(y=None)

    def forward(self, x):
        y = self.conv(x)
        self.store(y)
        return self.norm(y)


class InAttribute(OutputStored):
    def store(self, y):
        self.feature = y


class InSlot(OutputStored):
    def store(self, y):
        self.slots[0] = y


class InNestedSlot(OutputStored):
    def store(self, y):
        self.deep["y"][0] = y


class InObject(OutputStored):
    def store(self, y):
        self.cache.y = y


class LayerCalledTwice(Flow):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.conv(x + 1)


class NormCalledTwice(Flow):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm(x)


class WeightRead(Flow):
    def forward(self, x):
        return self.norm(self.conv(x)) * self.conv.coarse_weight.sum()


class StatisticsRead(Flow):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm.running_mean.sum()


class TwoNames(Flow):
    def __init__(self):
        super().__init__()
        self.again = self.conv

    def forward(self, x):
        return self.norm(self.conv(x))


class DependsOnValues(Plain):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else self.conv(x)


def hooked():
    network = Plain()
    network.conv.register_forward_hook(lambda module, inputs, output: 2 * output)
    return network


def doubled():
    network = Plain()
    plain = network.conv.forward
    network.conv.forward = lambda x: 2 * plain(x)
    return network


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (NormFirst, "not for a batch norm alone"),
        (OutputUsedAgain, "not for a batch norm alone"),
        (ChangedInBetween, "not for a batch norm alone"),
        *((kind, "forward stores its output") for kind in (InAttribute, InSlot, InNestedSlot, InObject)),
        (LayerCalledTwice, "conv is used more than once"),
        (NormCalledTwice, "norm is used more than once"),
        (TwoNames, "conv is used more than once"),
        (WeightRead, "reads the numbers of conv"),
        (StatisticsRead, "reads the numbers of norm"),
        (hooked, "layer has hooks"),
        (doubled, "layer has hooks"),
    ],
)
def test_a_pair_is_left_when_the_flow_of_data_forbids_it(make, reason, caplog):
    network = randomise(make())
    with caplog.at_level(logging.INFO, logger="gc2l"):
        assert_fused(network, random_input(2, 4, 5, 5), left=1)
    assert [record.getMessage() for record in caplog.records if reason in record.getMessage()]


def test_the_report_names_what_is_folded(caplog):
    with caplog.at_level(logging.INFO, logger="gc2l"):
        assert_fused(randomise(Plain()), random_input(2, 4, 5, 5), left=0)
    assert [record.getMessage() for record in caplog.records] == ["folded norm into conv"]


def test_untraceable_parts_stay_and_the_rest_is_fused(caplog):
    network = randomise(nn.Sequential(Plain(), DependsOnValues(), Plain()))
    with caplog.at_level(logging.INFO, logger="gc2l"):
        for sign in (1, -1):
            assert_fused(network, sign * random_input(2, 4, 5, 5), left=1)
    assert any(record.getMessage().startswith("left all of 1: ") for record in caplog.records)
    with pytest.raises(ValueError, match=r"cannot trace DependsOnValues.*fuse_batch_norm\(layer, norm\)"):
        fuse_batch_norm(DependsOnValues().eval())


def test_a_forward_of_the_networks_own_is_named():
    network = randomise(Plain())
    network.forward = MethodType(OutputUsedAgain.forward, network)
    with pytest.raises(ValueError, match=r"cannot trace Plain .it has a forward of its own"):
        fuse_batch_norm(network)


def test_a_norm_in_training_mode_stays():
    network = randomise(Plain())
    network.norm.train()
    assert norm_count(fuse_batch_norm(network)) == 1


class Optional(nn.Module):
    """A norm for one of two ways of calling, and one for both."""

    def __init__(self):
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 4, 3).double(), nn.BatchNorm2d(4).double()
        self.second, self.second_norm = nn.Conv2d(4, 4, 3).double(), nn.BatchNorm2d(4).double()

    def forward(self, x, style=None):
        y = self.first(x)
        return self.second_norm(self.second(y if style is None else self.first_norm(y) + style))


def test_a_norm_that_an_optional_argument_decides_on_stays():
    network, x = randomise(Optional()), random_input(2, 3, 9, 9)
    assert_fused(network, x, left=1)
    with torch.no_grad():
        torch.testing.assert_close(fuse_batch_norm(network)(x, 1.0), network(x, 1.0))


def test_a_part_with_hooks_is_left_and_its_hooks_see_no_symbols():
    seen = []
    part = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double()
    part.register_forward_hook(lambda module, arguments, output: seen.append(type(output)))
    network = randomise(nn.Sequential(part, nn.Conv2d(4, 4, 3).double(), nn.BatchNorm2d(4).double()))
    assert_fused(network, random_input(2, 3, 9, 9), left=1)
    assert set(seen) == {torch.Tensor}
