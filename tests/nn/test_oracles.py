"""Every layer against the loops of tests/oracles.py, and proof that a wrong layer would be found."""

import numpy as np
import pytest
import torch
from nn.layers import assert_equals_oracle, layer_class, make_layer, random_input
from oracles import ORACLES
from torch.nn import functional as F

from gc2l.nn import GroupConv2d, LearnableGroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d
from gc2l.nn.convolution import padded_input
from gc2l.ops.reference import shuffle
from gc2l.variants import VARIANTS

GEOMETRIES = {
    "1x1": {"kernel_size": 1},
    "3x3": {"kernel_size": 3, "padding": 1},
    "no bias": {"kernel_size": 3, "padding": 1, "bias": False},
    "strides": {"kernel_size": 3, "stride": (2, 3), "padding": (1, 2)},
    "2x5": {"kernel_size": (2, 5), "stride": (1, 2), "padding": (0, 2)},
    "dilation": {"kernel_size": (3, 2), "dilation": (2, 3), "padding": 2},
    "everything": {"kernel_size": (3, 1), "stride": (3, 2), "dilation": (2, 1), "padding": (3, 1), "bias": False},
    "same": {"kernel_size": (3, 2), "dilation": (1, 2), "padding": "same"},
    "valid": {"kernel_size": (3, 4), "padding": "valid"},
    "reflect": {"kernel_size": 3, "stride": 2, "padding": (1, 2), "padding_mode": "reflect"},
    "circular": {"kernel_size": (3, 5), "padding": (1, 2), "padding_mode": "circular"},
    "replicate": {"kernel_size": 3, "dilation": 2, "padding": 2, "padding_mode": "replicate"},
    "same, reflect": {"kernel_size": (2, 4), "padding": "same", "padding_mode": "reflect"},
}

LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3),
    "every second channel": lambda x: torch.stack([x, -x], dim=2).flatten(1, 2)[:, ::2],
    "expanded": lambda x: x[:1].expand(3, -1, -1, -1),
    "unbatched": lambda x: x[0],
    "unbatched, transposed": lambda x: x[0].transpose(1, 2),
}


def test_every_variant_has_an_oracle_and_a_case_made_by_hand():
    assert set(ORACLES) == set(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_case_made_by_hand(variant):
    case = ORACLES[variant].hand_made
    c_out, _, *kernel_size = case.parameters["weight"].shape
    layer = layer_class(variant)(case.x.shape[1], c_out, kernel_size, groups=case.groups, dtype=torch.float64)
    layer.load_state_dict({name: torch.from_numpy(value) for name, value in case.parameters.items()})
    assert np.array_equal(layer(torch.from_numpy(case.x)).detach().numpy(), case.y)
    assert_equals_oracle(variant, layer, torch.from_numpy(case.x))


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_geometries(variant, geometry):
    layer = make_layer(variant, 4, 6, groups=2, **geometry)
    assert_equals_oracle(variant, layer, random_input(2, 4, 7, 9))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_layouts(variant, layout):
    layer = make_layer(variant, 6, 9, 3, groups=3, padding=1)
    assert_equals_oracle(variant, layer, layout(random_input(2, 6, 5, 4)))


@pytest.mark.parametrize(("c_in", "c_out", "groups"), [(5, 3, 1), (6, 12, 2), (12, 6, 3), (4, 8, 4), (6, 6, 6)])
@pytest.mark.parametrize("coarse_channels", [1, 2, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_channels_and_groups(variant, c_in, c_out, groups, coarse_channels):
    layer = make_layer(variant, c_in, c_out, (3, 2), groups=groups, coarse_channels=coarse_channels)
    assert_equals_oracle(variant, layer, random_input(2, c_in, 5, 3))


@pytest.mark.parametrize(("c_in", "c_out", "groups"), [(5, 7, 3), (7, 5, 2), (3, 2, 16), (1, 1, 4)])
@pytest.mark.parametrize("variant", [name for name, variant in VARIANTS.items() if not variant.requires_divisible])
def test_groups_that_do_not_divide_the_channels(variant, c_in, c_out, groups):
    layer = make_layer(variant, c_in, c_out, 3, groups=groups, padding=1)
    assert_equals_oracle(variant, layer, random_input(2, c_in, 4, 3))


def fine(layer, x):
    """y_j = A_j x_j."""
    padded, geometry = padded_input(layer, x)
    return geometry.convolve(padded, layer.weight, layer.bias)


def restricted(layer, x):
    """z_i = r_i x_i."""
    padded, geometry = padded_input(layer, x)
    return geometry.convolve(padded, layer.restriction_weight, None)


class ReversedBlocks(GroupConv2d):
    """A_j acts on group n + 1 - j."""

    def forward(self, x):
        return super().forward(x.unflatten(1, (self.groups, -1)).flip(1).flatten(1, 2))


class TransposedCoarse(TwoLevelGroupConv2d):
    """The C_j are transposed, which n = c_out/n allows."""

    def forward(self, x):
        z = restricted(self, x)
        blocks = self.coarse_weight.unflatten(0, (self.groups, -1))  # (n, c_out/n, n, 1, 1)
        return fine(self, x) + F.conv2d(z, blocks.transpose(1, 2).flatten(0, 1))


class RestrictsTheNextGroup(TwoLevelGroupConv2d):
    """z_i is taken from group i + 1."""

    def forward(self, x):
        z = restricted(self, x).roll(1, dims=1)
        return fine(self, x) + F.conv2d(z, self.coarse_weight)


class ShufflesTheInput(ShuffleGroupConv2d):
    """The input is shuffled in place of the output."""

    def forward(self, x):
        return fine(self, shuffle(x, self.groups, 1))


class ShufflesTheOtherWay(ShuffleGroupConv2d):
    """The inverse permutation: view (c_out/n, n) in place of (n, c_out/n)."""

    def forward(self, x):
        y = fine(self, x)
        return y.unflatten(1, (-1, self.groups)).transpose(1, 2).flatten(1, 2)


class TransposedMask(LearnableGroupConv2d):
    """The mask is S T^T in place of T S^T, which c_in = c_out allows."""

    def mask(self):
        return super().mask().T


@pytest.mark.parametrize(
    ("variant", "wrong", "channels"),
    [
        ("gc", ReversedBlocks, 9),
        ("gc2l", TransposedCoarse, 9),
        ("gc2l", RestrictsTheNextGroup, 9),
        ("shuffle", ShufflesTheInput, 9),
        ("shuffle", ShufflesTheOtherWay, 18),  # the shuffle of 9 channels in 3 groups is its own inverse
        ("flgc", TransposedMask, 9),
    ],
)
def test_a_wrong_layer_does_not_pass(variant, wrong, channels):
    right = make_layer(variant, channels, channels, 3, groups=3, padding=1)
    mistaken = wrong(channels, channels, 3, groups=3, padding=1, dtype=torch.float64)
    mistaken.load_state_dict(right.state_dict())
    x = random_input(2, channels, 4, 5)
    assert_equals_oracle(variant, right, x)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equals_oracle(variant, mistaken, x)
