import pytest
import torch
from nn.layers import make_layer, random_input
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm

from gc2l.nn import GroupConv2d, LearnableGroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d
from gc2l.ops.functional import TWO_LEVEL_WAYS

SETTINGS = {"stride": 2, "padding": (1, 2), "dilation": (2, 1), "padding_mode": "circular"}


@pytest.mark.parametrize("coarse_channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_coarse_level_it_is_the_group_convolution_bit_for_bit(dtype, coarse_channels):
    layer = make_layer("gc2l", 6, 9, 3, groups=3, coarse_channels=coarse_channels, dtype=dtype, **SETTINGS)
    nn.init.zeros_(layer.coarse_weight)
    conv = GroupConv2d(6, 9, 3, groups=3, dtype=dtype, **SETTINGS)
    conv.load_state_dict({"weight": layer.weight, "bias": layer.bias})
    x = random_input(2, 6, 8, 7, dtype=dtype)
    torch.testing.assert_close(layer(x), conv(x))
    layer.algorithm, conv.algorithm = "separate", "grouped"
    assert torch.equal(layer(x), conv(x))


def test_the_coarse_level_has_rank_at_most_n_m_for_all_kernel_taps_together():
    layer = make_layer("gc2l", 16, 16, 3, groups=2, coarse_channels=2)
    coarse = layer.dense_weight() - layer.group_conv().dense_weight()
    assert torch.linalg.matrix_rank(coarse.flatten(1)) == 4
    assert torch.linalg.matrix_rank(layer.dense_weight().flatten(1)) == 16


def test_the_coarse_level_alone_shows_every_group_to_every_output():
    layer = make_layer("gc2l", 6, 6, 1, groups=3)
    assert layer.dense_weight().all()
    assert not layer.group_conv().dense_weight().all()


@pytest.mark.parametrize("device", ["cpu", "meta", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", [nn.Conv2d, GroupConv2d])
@pytest.mark.parametrize("bias", [True, False])
def test_from_group_conv_and_back(kind, bias, dtype, device):
    conv = kind(4, 6, (3, 2), groups=2, bias=bias, dtype=dtype, device=device, **SETTINGS).eval()
    layer = TwoLevelGroupConv2d.from_group_conv(conv, coarse_channels=2)
    again = layer.group_conv()
    assert type(layer) is TwoLevelGroupConv2d and type(again) is GroupConv2d and layer.coarse_channels == 2
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    for result in (layer, again):
        assert [getattr(result, name) for name in names] == [getattr(conv, name) for name in names]
        assert not result.training
        assert (result.bias is not None) == bias
        assert {(p.dtype, p.device.type) for p in result.parameters()} == {(dtype, device)}
    if device != "meta":
        assert all(torch.equal(value, again.state_dict()[name]) for name, value in conv.state_dict().items())
        assert not layer.coarse_weight.any() and layer.restriction_weight.any()
        x = random_input(2, 4, 9, 7, dtype=dtype).to(device)
        layer.algorithm, again.algorithm, conv.algorithm = "separate", "grouped", "grouped"
        assert torch.equal(layer(x), conv(x)) and torch.equal(again(x), conv(x))


def test_the_conversions_share_no_weights():
    layer = make_layer("gc2l", 4, 4, 3, groups=2)
    conv = layer.group_conv()
    rebuilt = TwoLevelGroupConv2d.from_group_conv(conv)
    before = conv.weight.clone()
    with torch.no_grad():
        layer.weight.zero_()
        rebuilt.weight.zero_()
    assert torch.equal(conv.weight, before)


def test_a_level_that_starts_at_zero_learns():
    """C receives a gradient at once; r does, once C has left zero."""
    layer = TwoLevelGroupConv2d.from_group_conv(GroupConv2d(4, 4, 3, groups=2, dtype=torch.float64))
    x = random_input(2, 4, 5, 5)
    layer(x).square().sum().backward()
    assert layer.coarse_weight.grad.all() and not layer.restriction_weight.grad.any()
    with torch.no_grad():
        layer.coarse_weight -= 0.01 * layer.coarse_weight.grad
    layer(x).square().sum().backward()
    assert layer.restriction_weight.grad.any()


@pytest.mark.parametrize("kind", [TwoLevelGroupConv2d, ShuffleGroupConv2d, LearnableGroupConv2d])
def test_from_group_conv_takes_group_convolutions_only(kind):
    with pytest.raises(TypeError, match=rf"^conv is a {kind.__name__}; it must be .*GroupConv2d"):
        TwoLevelGroupConv2d.from_group_conv(kind(4, 4, 3, groups=2))


@pytest.mark.parametrize("coarse_channels", [0, -2])
def test_coarse_channels_below_one(coarse_channels):
    with pytest.raises(ValueError) as error:
        TwoLevelGroupConv2d(4, 4, 3, groups=2, coarse_channels=coarse_channels)
    assert str(error.value) == (
        f"coarse_channels={coarse_channels} must be at least 1; without a coarse level use GroupConv2d"
    )


def test_its_line_in_a_printed_network_tells_the_coarse_channels():
    line = repr(TwoLevelGroupConv2d(4, 6, 3, groups=2, coarse_channels=2, bias=False))
    assert line == (
        "TwoLevelGroupConv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), groups=2, bias=False, coarse_channels=2)"
    )


@pytest.mark.parametrize("m", [1, 2])
def test_a_start_changes_the_coarse_level_alone(m):
    def started(start):
        torch.manual_seed(5)
        return TwoLevelGroupConv2d(64, 96, 3, groups=4, coarse_channels=m, coarse_start=start)

    usual, zero, fan_in = started("fan_out"), started("zero"), started("fan_in")
    for other in (zero, fan_in):
        assert torch.equal(other.weight, usual.weight)
    assert torch.equal(zero.restriction_weight, usual.restriction_weight) and not zero.coarse_weight.any()
    # Variance 2 / fan_in: 9 * 64/4 numbers make one of z, 4 m make one of C z.
    for weight, fan in ((fan_in.restriction_weight, 9 * 16), (fan_in.coarse_weight, 4 * m)):
        assert float(weight.detach().std()) == pytest.approx((2 / fan) ** 0.5, rel=0.15)
    assert "coarse_start=zero" in repr(zero) and "coarse_start" not in repr(usual)
    with pytest.raises(ValueError, match=r"coarse_start='ones'.*'fan_in'"):
        started("ones")


def test_a_seed_gives_the_initial_weights_of_the_committed_records():
    """They were made when the weight was drawn three times, and the last draw counted."""
    torch.manual_seed(5)
    layer = TwoLevelGroupConv2d(8, 12, 3, groups=2)
    torch.manual_seed(5)
    fused = (2 / (9 * (12 / 2 + 1))) ** 0.5
    for _ in range(3):
        weight = torch.empty(12, 4, 3, 3).normal_(std=fused)
    restriction, coarse = (
        torch.empty(2, 4, 3, 3).normal_(std=fused),
        torch.empty(12, 2, 1, 1).normal_(std=(2 / 12) ** 0.5),
    )
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.restriction_weight, restriction) and torch.equal(layer.coarse_weight, coarse)


@pytest.mark.parametrize(
    ("reparametrise", "error"),
    [
        (lambda conv: prune.l1_unstructured(conv, "weight", 0.5), ValueError),
        (spectral_norm, ValueError),
        (parametrizations.weight_norm, TypeError),
    ],
    ids=["pruned", "spectral_norm", "weight_norm"],
)
def test_a_convolution_whose_weight_is_computed_is_refused(reparametrise, error):
    # Its state has the weight under another name: the layer would keep random ones.
    conv = nn.Conv2d(8, 8, 3, groups=4)
    reparametrise(conv)
    with pytest.raises(error, match=r"hooks|ParametrizedConv2d"):
        TwoLevelGroupConv2d.from_group_conv(conv)


@pytest.mark.parametrize(
    "reparametrise",
    [lambda layer: prune.l1_unstructured(layer, "weight", 0.5), parametrizations.weight_norm],
    ids=["pruned", "weight_norm"],
)
@pytest.mark.parametrize("bias", [True, False])
def test_group_conv_of_a_layer_whose_weight_is_computed(reparametrise, bias):
    layer = make_layer("gc2l", 8, 8, 3, groups=4, bias=bias)
    reparametrise(layer)
    nn.init.zeros_(layer.coarse_weight)
    x = random_input(2, 8, 5, 5)
    torch.testing.assert_close(layer.group_conv()(x), layer(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["auto", *TWO_LEVEL_WAYS[:-1]])
@pytest.mark.parametrize("kernel", [1, 3])
def test_complex_numbers(algorithm, kernel):
    layer = make_layer("gc2l", 8, 8, kernel, groups=2, padding=kernel // 2, dtype=torch.complex64, algorithm=algorithm)
    x = random_input(2, 8, 5, 5, dtype=torch.complex64).contiguous(memory_format=torch.channels_last).requires_grad_()
    for own, dense in zip(*(_values_and_gradient(of, x) for of in (layer, layer.to_dense())), strict=True):
        torch.testing.assert_close(own, dense, rtol=1e-4, atol=1e-4)


def _values_and_gradient(layer, x):
    y = layer(x)
    return y, torch.autograd.grad(y, x, torch.full_like(y, 1 + 2j))[0]
