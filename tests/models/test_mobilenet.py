import pytest
import torch

from gc2l.models import mobilenet_v2
from gc2l.nn import Convolution, GroupConv2d, LearnableGroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d

LAYERS = {
    "gc": GroupConv2d,
    "gc2l": TwoLevelGroupConv2d,
    "shuffle": ShuffleGroupConv2d,
    "flgc": LearnableGroupConv2d,
}


def _meta(*arguments):
    with torch.device("meta"):
        return mobilenet_v2(*arguments)


def test_the_standard_network_has_its_published_size():
    assert sum(parameter.numel() for parameter in _meta().parameters()) == 3_504_872


@pytest.mark.parametrize("variant", LAYERS)
def test_exactly_the_pointwise_convolutions_are_replaced(variant):
    network = _meta(variant, 4)
    for name, module in network.named_modules():
        if not isinstance(module, torch.nn.Conv2d | Convolution):
            continue
        if module.kernel_size != (1, 1):
            assert type(module) is torch.nn.Conv2d, name
        elif name == "features.18.0":
            assert type(module) is (GroupConv2d if variant == "gc2l" else LAYERS[variant])
            assert (module.in_channels, module.out_channels) == (320, 1280)
        else:
            assert type(module) is LAYERS[variant], name
            assert module.groups == 4
    kernels = [module.kernel_size for module in network.modules() if isinstance(module, torch.nn.Conv2d | Convolution)]
    assert kernels.count((1, 1)) == 16 + 17 + 1  # expansions (the first unit has none), projections, the last


@pytest.mark.parametrize("variant", ["sc", *LAYERS])
def test_logits_and_a_gradient_for_every_parameter(variant):
    network = mobilenet_v2(variant, 1 if variant == "sc" else 8, num_classes=5, width_mult=0.25)
    logits = network(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 5)
    logits.logsumexp(dim=1).sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(("variant", "groups"), [("gc", 16), ("gc2l", 3), ("flgc", 32)])
def test_groups_that_do_not_fit_every_pointwise_convolution_are_refused(variant, groups):
    with pytest.raises(ValueError, match=rf"groups={groups} .* features\.\d+\.conv"):
        _meta(variant, groups)


def test_learnable_groups_need_no_divisor():
    layers = [module for module in _meta("flgc", 3).modules() if isinstance(module, LearnableGroupConv2d)]
    assert len(layers) == 34


def test_wrong_variants_are_refused():
    with pytest.raises(ValueError, match="variant='conv'"):
        mobilenet_v2("conv", 2)
    with pytest.raises(ValueError, match="groups=0"):
        mobilenet_v2("gc", 0)
