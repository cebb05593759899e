"""The work of a rank, against sums worked out by hand."""

from dataclasses import replace

import pytest
import torch

from gc2l.parallel import rank_share
from gc2l.scaling import Network, count_work

# WideResNet-10-1: one unit a stage, 16, 32, 64 channels at 32, 16, 8 pixels a side.
PIXELS = {16: 32 * 32, 32: 16 * 16, 64: 8 * 8}
UNITS = ((16, 16), (16, 32), (32, 64))


def convolutions(n: int, p: int) -> int:
    """Multiplications of one image on one of p ranks, forward: SC for n = 1, else GC-2L."""
    total = 9 * 3 * (16 // p) * PIXELS[16] + 64 // p * 10
    for c_in, c_out in UNITS:
        layers = [(9, c_in, c_out), (9, c_out, c_out)]
        if c_in != c_out:
            layers.append((1, c_in, c_out))
        for kernel, inputs, outputs in layers:
            fine = kernel * inputs // n * outputs // p
            coarse = 0 if n == 1 else kernel * inputs // p + outputs // p * n
            total += (fine + coarse) * PIXELS[c_out]
    return total


@pytest.mark.parametrize(("groups", "ranks"), [(1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (16, 16)])
def test_operations_are_those_of_the_layers(groups, ranks):
    variant = "sc" if groups == 1 else "gc2l"
    network = Network(depth=10, widen_factor=1, variant=variant, groups=groups, ranks=ranks, images=3)
    work = count_work(network)
    assert work.flops == 3 * 3 * 2 * convolutions(groups, ranks)


def test_numbers_written_are_those_of_convolutions_norms_and_classifier():
    work = count_work(Network(depth=10, widen_factor=1, variant="sc", groups=1, ranks=1, images=3))
    one = 16 * PIXELS[16]  # the stem
    for c_in, c_out in UNITS:
        before = 16 if c_in == c_out else c_in
        one += c_in * PIXELS[before]  # the first norm
        one += (3 if c_in == c_out else 4) * c_out * PIXELS[c_out]  # convolution, norm, convolution, and the shortcut
    one += 64 * PIXELS[64] + 10  # the last norm, the classifier
    assert work.elements == 3 * one
    assert work.layers == 1 + 4 + 5 + 5 + 2


def test_parameters_and_traffic():
    work = count_work(Network(depth=10, widen_factor=1, variant="gc2l", groups=4, ranks=2, images=3))
    alone = count_work(Network(depth=10, widen_factor=1, variant="gc2l", groups=4, ranks=1, images=3))
    assert work.parameters == alone.parameters == alone.own_parameters
    assert work.own_parameters == (work.parameters - 10) / 2 + 10  # every rank has the classifier's bias
    assert (alone.collectives, alone.received_bytes) == (0, 0)
    # 8 convolutions gather 4 channels and reduce their gradients, half of which comes from the other rank
    pixels = 2 * PIXELS[16] + 3 * PIXELS[32] + 3 * PIXELS[64]
    assert work.collectives == 8 * 2 + 1
    assert work.received_bytes == 2 * 4 * 3 * pixels * 4 // 2 + 3 * 10 * 4
    assert work.elements < alone.elements


def test_ranks_that_divide_the_layers_take_turns():
    whole = Network(depth=10, widen_factor=1, variant="sc", groups=1, ranks=1, images=3)
    alone, split = count_work(whole), count_work(replace(whole, ranks=2, split="layers"))
    assert (split.flops, split.elements, split.layers) == (alone.flops, alone.elements, alone.layers)
    # stem and first unit, 16 channels; the others hold nearly everything
    norms, units = 2 * 2 * 16, 2 * 9 * 16 * 16
    assert split.own_parameters == split.parameters - 9 * 3 * 16 - norms - units
    assert split.collectives == 2  # an activation and its gradient
    assert split.received_bytes == 2 * 3 * 16 * PIXELS[16] * 4
    with pytest.raises(ValueError, match="split='layers' has no share that represents all ranks"):
        replace(whole, ranks=2, split="layers").build_share()


def test_more_groups_than_the_stem_has_channels():
    wide = Network(depth=10, widen_factor=4, variant="gc2l", groups=64, ranks=64, images=1)
    assert count_work(wide).stem_channels == 64


def test_a_share_computes_and_learns_finite_numbers():
    torch.manual_seed(0)
    network = Network(depth=10, widen_factor=1, variant="gc2l", groups=4, ranks=4, images=2)
    share = network.build_share()
    logits = share(torch.randn(2, 3, 32, 32))
    logits.square().sum().backward()
    assert logits.shape == (2, 10)
    assert all(torch.isfinite(value.grad).all() for value in share.parameters())


@pytest.mark.parametrize("variant", ["sc", "gc", "gc2l", "shuffle", "flgc"])
def test_a_share_exists_of_every_variant(variant):
    groups = 1 if variant == "sc" else 4
    whole = Network(depth=10, widen_factor=1, variant=variant, groups=groups, ranks=1, images=2).build()
    share = rank_share(whole, 2)
    logits = share(torch.randn(2, 3, 32, 32))
    logits.sum().backward()
    assert logits.shape == (2, 10)


def test_ranks_that_do_not_divide_the_groups_are_refused():
    with pytest.raises(ValueError, match=r"out_channels=16 of layer 'stem' .* is not divisible by the 3 channel ranks"):
        Network(depth=10, widen_factor=3, variant="gc2l", groups=4, ranks=3, images=2).build_share()
