import numpy as np
import pytest
import torch
from nn.layers import make_layer, random_input
from oracles import Geometry, scc

from gc2l.nn import GroupConv2d, SlidingChannelConv2d


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize(
    ("c_in", "c_out", "groups", "overlap", "shared"),
    [
        (8, 8, 2, 0.25, 1),
        (8, 4, 2, 0.33, 1),
        (8, 12, 4, 0.5, 1),
        (16, 8, 2, 0.75, 6),
        (12, 6, 3, 0.2, 0),
        (6, 6, 1, 0.5, 3),
    ],
)
def test_overlaps_against_the_loops(c_in, c_out, groups, overlap, shared, kernel_size):
    layer = make_layer("scc", c_in, c_out, kernel_size, groups=groups, overlap=overlap, padding=kernel_size // 2)
    x = random_input(2, c_in, 5, 4)
    parameters = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    expected = scc(x.numpy(), parameters, groups, Geometry(padding=layer.padding), shared)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    wrong = scc(x.numpy(), parameters, groups, Geometry(padding=layer.padding), shared + 1)
    assert not np.allclose(expected, wrong)


def test_the_windows_of_the_paper_go_round():
    """6 channels in 2 windows of 3 with a third in common: steps of 2."""
    layer = SlidingChannelConv2d(6, 4, 1, groups=2, overlap=0.34)
    assert layer.windows().tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 0], [0, 1, 2]]


def test_the_overlap_is_the_number_that_is_written():
    """0.29 * 100 is 28.999999999999996 in floating point."""
    layer = SlidingChannelConv2d(100, 2, 1, groups=1, overlap=0.29)
    assert (layer.windows()[1, 0] - layer.windows()[0, 0]) % 100 == 71


def test_without_overlap_it_is_a_group_convolution_whose_filters_take_turns():
    layer = make_layer("scc", 6, 9, 3, groups=3)
    conv = GroupConv2d(6, 9, 3, groups=3, dtype=torch.float64)
    order = [j * 3 + a for a in range(3) for j in range(3)]  # filter o of SCC is filter order[o] of GC
    with torch.no_grad():
        conv.weight[order], conv.bias[order] = layer.weight, layer.bias
    x = random_input(2, 6, 5, 5)
    torch.testing.assert_close(layer(x), conv(x)[:, order])


@pytest.mark.parametrize("overlap", [1, -0.1, 2.5, float("nan")])
def test_overlaps_that_are_none(overlap):
    with pytest.raises(ValueError, match=rf"^overlap={overlap} must be at least 0 and less than 1$"):
        SlidingChannelConv2d(4, 4, 1, groups=2, overlap=overlap)


def test_its_line_tells_the_overlap():
    assert repr(SlidingChannelConv2d(4, 4, 1, groups=2, overlap=0.5)).endswith("groups=2, overlap=0.5)")
