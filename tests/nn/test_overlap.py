"""GC-2L with overlapping blocks."""

import pytest
import torch
from nn.layers import assert_equals_oracle, make_layer, random_input

from gc2l.nn import ShuffleTwoLevelGroupConv2d, TwoLevelGroupConv2d

SIZES = [(8, 8, 2, 0.5, 2), (12, 6, 3, 0.25, 1), (12, 8, 4, 0.34, 1), (8, 4, 4, 0.6, 1), (8, 8, 2, 0.2, 0)]


@pytest.mark.parametrize("algorithm", ["auto", "separate", "folded"])
@pytest.mark.parametrize("variant", ["gc2l", "gc2l_shuffle"])
@pytest.mark.parametrize(("c_in", "c_out", "groups", "overlap", "halo"), SIZES)
def test_overlaps_against_the_loops(c_in, c_out, groups, overlap, halo, variant, algorithm):
    layer = make_layer(
        variant, c_in, c_out, 3, groups=groups, overlap=overlap, coarse_channels=2, padding=(1, 2), stride=2
    )
    layer.algorithm = algorithm
    own = c_in // groups
    assert layer.weight.shape == (c_out, own + 2 * halo, 3, 3)
    count = 9 * (own + 2 * halo) * c_out + 2 * 9 * c_in + 2 * groups * c_out + c_out
    assert sum(value.numel() for value in layer.parameters()) == count
    x = random_input(2, c_in, 5, 4)
    assert_equals_oracle(variant, layer, x)
    assert_equals_oracle(variant, layer, x[0])
    torch.testing.assert_close(layer.to_dense()(x), layer(x))


def test_each_group_reads_its_neighbours_cyclically():
    layer = make_layer("gc2l", 6, 3, 1, groups=3, overlap=0.5)
    with torch.no_grad():
        layer.coarse_weight.zero_()
        layer.weight.copy_(torch.arange(1, 5)[None, :, None, None])
    assert layer.dense_weight()[:, :, 0, 0].tolist() == [
        [2, 3, 4, 0, 0, 1],
        [0, 1, 2, 3, 4, 0],
        [4, 0, 0, 1, 2, 3],
    ]


def test_without_overlap_it_is_todays_layer():
    torch.manual_seed(1)
    layer = TwoLevelGroupConv2d(8, 12, 3, groups=2, overlap=0.0)
    torch.manual_seed(1)
    usual = TwoLevelGroupConv2d(8, 12, 3, groups=2)
    assert repr(layer) == repr(usual)
    assert all(torch.equal(value, usual.state_dict()[name]) for name, value in layer.state_dict().items())


def test_gradients():
    layer = make_layer("gc2l", 6, 3, (1, 2), groups=3, overlap=0.5)
    assert torch.autograd.gradcheck(layer, (random_input(2, 6, 2, 3).requires_grad_(),))


def test_the_spread_of_its_weights_is_that_of_the_outputs_a_channel_reaches():
    torch.manual_seed(0)
    layer = TwoLevelGroupConv2d(256, 256, 3, groups=8, overlap=0.5)
    for value in (layer.weight, layer.restriction_weight):
        # 32 filters of the own group, half as many of each neighbour, and one restriction
        assert value.std().item() == pytest.approx((2 / (9 * (64 + 1))) ** 0.5, rel=0.03)


@pytest.mark.parametrize(
    ("groups", "overlap", "further", "message"),
    [
        (2, 0.75, {}, r"overlap=0.75 with groups=2 and in_channels=8: 4 channels and 3 on each side .* at most 0.5"),
        (2, -0.5, {}, r"overlap=-0.5 must be at least 0"),
        (2, 1.0, {}, r"overlap=1.0 must be at least 0 and less than 1"),
        (4, 0.5, {"algorithm": "direct"}, r"algorithm='direct' is unknown; choose one of 'auto', 'separate', 'folded'"),
    ],
)
def test_bad_input(groups, overlap, further, message):
    with pytest.raises(ValueError, match=message):
        TwoLevelGroupConv2d(8, 8, 3, groups=groups, overlap=overlap, **further)


def test_an_algorithm_that_is_not_there_is_refused_when_it_is_used():
    layer = TwoLevelGroupConv2d(8, 8, 3, groups=4, overlap=0.5)
    layer.algorithm = "fused"
    with pytest.raises(ValueError, match="algorithm='fused'"):
        layer(torch.zeros(1, 8, 3, 3))


def test_what_is_left_without_the_coarse_level_is_no_group_convolution():
    with pytest.raises(ValueError, match="no group convolution"):
        TwoLevelGroupConv2d(8, 8, 3, groups=4, overlap=0.5).group_conv()
    with pytest.raises(TypeError, match="shuffles its output"):
        ShuffleTwoLevelGroupConv2d(8, 8, 3, groups=4).group_conv()
    with pytest.raises(TypeError, match="shuffles its output"):
        ShuffleTwoLevelGroupConv2d.from_group_conv(TwoLevelGroupConv2d(8, 8, 3, groups=4).group_conv())
