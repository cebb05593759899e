import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.models import wide_resnet_cifar, wide_resnet_imagenet
from gc2l.models.residual import ResidualUnit
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.variants import VARIANTS


def _groups(variant: str) -> int:
    return 1 if variant == "sc" else 4


def _reference_unit(x: Tensor, state: dict[str, Tensor], stride: int) -> Tensor:
    """The pre-activation unit from its formula, with dense weights, in training mode."""

    def active(value: Tensor, norm: str) -> Tensor:
        mean = value.mean(dim=(0, 2, 3), keepdim=True)
        variance = ((value - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
        scale, shift = (state[f"{norm}.{name}"].view(1, -1, 1, 1) for name in ("weight", "bias"))
        return torch.clamp((value - mean) / torch.sqrt(variance + 1e-5) * scale + shift, min=0)

    first = active(x, "norm1")
    inner = active(F.conv2d(first, state["conv1"], stride=stride, padding=1), "norm2")
    shortcut = F.conv2d(first, state["shortcut"], stride=stride) if "shortcut" in state else x
    return F.conv2d(inner, state["conv2"], padding=1) + shortcut


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("in_channels", "out_channels", "stride"), [(8, 8, 1), (8, 16, 1), (8, 8, 2), (8, 16, 2)])
def test_a_unit_equals_its_formula(variant, in_channels, out_channels, stride):
    unit = ResidualUnit(in_channels, out_channels, stride, variant, _groups(variant)).double()
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter)
    state = dict(unit.named_parameters())
    for name in ("conv1", "conv2", "shortcut"):
        if (conv := getattr(unit, name)) is not None:
            state[name] = conv.to_dense().weight
    assert ("shortcut" in state) == (stride != 1 or in_channels != out_channels)
    x = torch.randn(3, in_channels, 9, 7, dtype=torch.float64)
    torch.testing.assert_close(unit(x), _reference_unit(x, state, stride), rtol=1e-10, atol=1e-10)


def test_the_shortcut_shares_the_first_norm_and_its_activation():
    unit = ResidualUnit(4, 8, 1, "sc", 1).double()
    torch.nn.init.zeros_(unit.conv2.weight)
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    active = F.relu(F.batch_norm(x, None, None, training=True))
    torch.testing.assert_close(unit(x), unit.shortcut(active))
    assert not torch.allclose(unit(x), unit.shortcut(x))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("make", "depth", "size", "classes"), [(wide_resnet_cifar, 16, 32, 7), (wide_resnet_imagenet, 10, 65, 11)]
)
def test_logits_and_a_gradient_for_every_parameter(variant, make, depth, size, classes):
    network = make(depth, 1, variant, _groups(variant), classes)
    logits = network(torch.randn(2, 3, size, size).to(memory_format=torch.channels_last))
    assert logits.shape == (2, classes)
    logits.logsumexp(dim=1).sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "sc"])
def test_every_unit_convolution_and_no_other_is_of_the_variant(variant):
    network = wide_resnet_cifar(16, 2, variant, 4)
    layer = VARIANTS[variant].layer.rpartition(":")[2]
    found = {name for name, module in network.named_modules() if type(module).__name__ == layer}
    expected = {
        name for name, module in network.named_modules() if name.startswith("stages") and "weight" in module._parameters
    } - {name for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert found - {"stem"} == expected
    assert len(expected) == 3 * 2 * 2 + 3  # three stages of two units of two convolutions, three shortcuts
    assert type(network.stem) is GroupConv2d
    assert network.stem.groups == 1


@pytest.mark.parametrize(("depth", "units"), [(10, [1, 1, 1]), (16, [2, 2, 2]), (28, [4, 4, 4])])
def test_depth_of_the_cifar_network(depth, units):
    with torch.device("meta"):
        network = wide_resnet_cifar(depth, 1)
    assert [len(stage) for stage in network.stages] == units


@pytest.mark.parametrize(("depth", "units"), [(10, [1] * 4), (18, [2] * 4), (34, [3, 4, 6, 3])])
def test_depth_of_the_imagenet_network(depth, units):
    with torch.device("meta"):
        network = wide_resnet_imagenet(depth, 1)
    assert [len(stage) for stage in network.stages] == units
    assert network(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)
    sizes = []
    for stage in network.stages:
        stage.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:])))
    network(torch.empty(1, 3, 224, 224, device="meta"))
    assert sizes == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wide_resnet_cifar(27), r"depth=27 .* 6 a \+ 4"),
        (lambda: wide_resnet_cifar(4), r"depth=4 "),
        (lambda: wide_resnet_cifar(10, 0), r"widen_factor=0 "),
        (lambda: wide_resnet_cifar(10, 0.7), r"widen_factor=0.7 .* multiple of 1/16"),
        (lambda: wide_resnet_imagenet(10, 0.01), r"widen_factor=0.01 .* multiple of 1/64"),
        (lambda: wide_resnet_imagenet(50), r"depth=50 .* 10, 18, 34"),
        (lambda: wide_resnet_cifar(10, 1, "gc", 3), r"in_channels=16 is not divisible by groups=3"),
        (lambda: wide_resnet_cifar(10, 1, "sc", 2), r"groups=2"),
        (lambda: wide_resnet_cifar(10, 1, "conv", 2), r"variant='conv'"),
        (lambda: wide_resnet_cifar(10, 1, "gc2l", 2, coarse_channels=0), r"coarse_channels=0"),
    ],
)
def test_wrong_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_coarse_channels_reach_every_layer_and_no_other_variant_takes_them():
    network = wide_resnet_cifar(10, 1, "gc2l", 4, coarse_channels=2)
    assert {m.coarse_channels for m in network.modules() if isinstance(m, TwoLevelGroupConv2d)} == {2}
    with pytest.raises(TypeError, match="coarse_channels"):
        wide_resnet_cifar(10, 1, "gc", 4, coarse_channels=2)


def test_initial_weights_follow_he_and_the_classifier_linear():
    network = wide_resnet_cifar(10, 4, "gc", 4, num_classes=100)
    conv = network.stages[2][0].conv1  # 128 to 256 channels
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 256 / 4)) ** 0.5, rel=0.02)
    assert network.stem.weight.std().item() == pytest.approx((2 / (9 * 16)) ** 0.5, rel=0.15)
    assert 0.95 < network.classifier.weight.abs().max().item() * 256**0.5 <= 1


def test_channels_last_goes_through_the_whole_network():
    network = wide_resnet_cifar(10, 1, "gc2l", 4).double()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    expected = network(x)
    network = network.to(memory_format=torch.channels_last)
    formats = []
    for module in network.modules():
        if isinstance(module, ResidualUnit):
            module.register_forward_hook(
                lambda module, inputs, output: formats.append(output.is_contiguous(memory_format=torch.channels_last))
            )
    torch.testing.assert_close(network(x.to(memory_format=torch.channels_last)), expected)
    assert formats == [True] * 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_copies_states_and_compilation(variant):
    network = wide_resnet_cifar(10, 1, variant, _groups(variant)).eval()
    x = torch.randn(2, 3, 16, 16)
    expected = network(x)
    other = wide_resnet_cifar(10, 1, variant, _groups(variant)).eval()
    assert not torch.allclose(other(x), expected)
    other.load_state_dict(OrderedDict(network.state_dict()))
    for twin in (other, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(twin(x), expected)
    compiled = torch.compile(network, backend="eager", fullgraph=True)  # the layers are compiled in tests/nn
    torch.testing.assert_close(compiled(x), expected)


@pytest.mark.parametrize(("variant", "left"), [("gc2l", "gc"), ("gc2l_shuffle", "shuffle")])
@pytest.mark.parametrize("make", [wide_resnet_cifar, wide_resnet_imagenet])
def test_a_coarse_level_in_the_layers_of_one_kernel_size_only(make, variant, left):
    networks = {level: make(10, 1, variant, 4, coarse_level=level) for level in ("all", "3x3", "1x1")}
    networks |= {"none": make(10, 1, left, 4)}
    counts = {level: sum(value.numel() for value in network.parameters()) for level, network in networks.items()}
    shapes = {level: set() for level in networks}
    for level, network in networks.items():
        for module in network.modules():
            if hasattr(module, "coarse_weight"):
                shapes[level].add(module.kernel_size)
    assert shapes == {"all": {(3, 3), (1, 1)}, "3x3": {(3, 3)}, "1x1": {(1, 1)}, "none": set()}
    assert counts["3x3"] + counts["1x1"] == counts["all"] + counts["none"]
    assert {type(module).__name__ for module in networks["3x3"].modules()} == {
        type(module).__name__ for module in (*networks["all"].modules(), *networks["none"].modules())
    }
    logits = networks["1x1"](torch.randn(2, 3, 33, 33))
    logits.logsumexp(dim=1).sum().backward()
    assert all(value.grad is not None for value in networks["1x1"].parameters())


def test_options_of_the_coarse_level_reach_only_the_layers_that_have_one():
    network = wide_resnet_cifar(10, 1, "gc2l", 4, coarse_level="3x3", coarse_channels=2)
    assert network.stages[1][0].conv1.coarse_channels == 2
    assert type(network.stages[1][0].shortcut) is GroupConv2d


@pytest.mark.parametrize(
    ("variant", "level", "message"),
    [
        ("gc2l", "5x5", r"coarse_level='5x5'.*'3x3'"),
        ("gc", "3x3", r"coarse_level='3x3' with variant='gc'"),
        ("dense", "all", r"variant='dense'"),
    ],
)
def test_a_wrong_coarse_level_is_refused(variant, level, message):
    with pytest.raises(ValueError, match=message):
        wide_resnet_cifar(10, 1, variant, 4, coarse_level=level)
