"""Tools that look for `nn.Conv2d` find group convolution, which is one, and none of the other layers."""

import copy

import pytest
import torch
from nn.layers import layer_class, make_layer, random_input
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize, prune
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gc2l.nn import Convolution, GroupConv2d
from gc2l.variants import VARIANTS

OTHERS = [variant for variant in VARIANTS if layer_class(variant) is not GroupConv2d]


def layer_and_norm(variant, **arguments):
    layer = make_layer(variant, 4, 6, 3, groups=2, dtype=torch.float32, **arguments)
    norm = nn.BatchNorm2d(6)
    for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        nn.init.uniform_(value, 0.5, 2)
    return layer.eval(), norm.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_layer_is_a_conv2d_if_its_weight_and_bias_say_what_it_computes(variant):
    layer, _ = layer_and_norm(variant)
    x = random_input(2, 4, 5, 5, dtype=torch.float32)
    expected = nn.functional.conv2d(x, layer.weight, layer.bias, groups=x.shape[1] // layer.weight.shape[1])
    same = torch.allclose(layer(x), expected, atol=1e-4)
    assert isinstance(layer, nn.Conv2d) == isinstance(layer, _ConvNd) == same == (variant in ("sc", "gc"))
    assert isinstance(layer, Convolution) != same


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_fusing_a_batch_norm_is_right_or_refused(variant, bias):
    layer, norm = layer_and_norm(variant, bias=bias)
    x = random_input(2, 4, 5, 5, dtype=torch.float32)
    before = layer(x)
    if isinstance(layer, nn.Conv2d):
        torch.testing.assert_close(fuse_conv_bn_eval(layer, norm)(x), norm(before), rtol=1e-4, atol=1e-4)
    else:
        with pytest.raises(TypeError, match=rf"weight of {type(layer).__name__} cannot be replaced .*to_dense\(\)"):
            fuse_conv_bn_eval(layer, norm)
        fused = fuse_conv_bn_eval(layer.to_dense(), norm)
        torch.testing.assert_close(fused(x), norm(before), rtol=1e-4, atol=1e-4)
    assert torch.equal(layer(x), before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("variant", OTHERS)
def test_the_fuser_of_quantisation_refuses(variant):
    with pytest.raises((NotImplementedError, AssertionError), match=r"did not find fuser|Cannot fuse"):
        torch.ao.quantization.fuse_modules(nn.Sequential(*layer_and_norm(variant)), [["0", "1"]])


@pytest.mark.parametrize("variant", OTHERS)
def test_what_goes_by_class_passes_it_over(variant):
    layer, _ = layer_and_norm(variant)
    network, state = nn.Sequential(layer), copy.deepcopy(layer.state_dict())
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_can_be_loaded_moved_pruned_and_parametrized_in_evaluation_mode(variant):
    layer, _ = layer_and_norm(variant)
    x = random_input(2, 4, 5, 5, dtype=torch.float32)
    before = layer(x)
    state = {name: value.double() if value.is_floating_point() else value for name, value in layer.state_dict().items()}
    layer.load_state_dict(state, assign=True)
    assert layer.weight.dtype is torch.float64 and not layer.training
    torch.testing.assert_close(layer.float()(x), before)
    parametrize.register_parametrization(layer, "bias", Doubled())
    parametrize.remove_parametrizations(layer, "bias")
    prune.l1_unstructured(layer, "weight", 0)
    prune.remove(layer, "weight")
    with torch.no_grad():
        layer.bias.div_(2)
    torch.testing.assert_close(layer(x), before)


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_can_be_shared_while_training(variant):
    one, other = (layer_and_norm(variant)[0].train() for _ in range(2))
    other.weight = one.weight
    assert other.weight is one.weight
