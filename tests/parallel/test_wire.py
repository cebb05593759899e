"""The closed form of the traffic, against sizes worked out by hand."""

import dataclasses

import pytest

from gc2l.parallel import LayerShape, layer_traffic

# 16 to 32 channels, stride 2: 8 x 8 to 4 x 4 pixels, 4 groups.
LAYER = LayerShape(
    layer="conv",
    kind="gc2l",
    in_channels=16,
    out_channels=32,
    groups=4,
    coarse_channels=1,
    pixels_in=64,
    pixels_out=16,
    pointwise=False,
)


def sizes(ranks=2, rank=0, **changes):
    """(collective, volume, received) of each collective, 3 images of 4-byte numbers."""
    shape = dataclasses.replace(LAYER, **changes)
    return [
        (t.collective, t.volume, t.received) for t in layer_traffic(shape, ranks=ranks, images=3, element=4, rank=rank)
    ]


def test_gc2l_gathers_one_channel_a_group():
    # 4 channels x 3 images x 16 pixels x 4 bytes = 768; two ranks: half of it is one's own
    assert sizes() == [("all_gather", 768, 384), ("reduce_scatter", 768, 384)]
    assert sizes(ranks=4) == [("all_gather", 768, 576), ("reduce_scatter", 768, 576)]
    assert sizes(coarse_channels=2)[0] == ("all_gather", 1536, 768)


def test_sc_gathers_its_input_and_pointwise_only_what_it_uses():
    # 16 channels x 3 images x 64 pixels x 4 bytes
    assert sizes(kind="sc", groups=1) == [("all_gather", 12288, 6144), ("reduce_scatter", 12288, 6144)]
    assert sizes(kind="sc", groups=1, pointwise=True)[0] == ("all_gather", 3072, 1536)


def test_flgc_gathers_its_logits_too():
    # 16 x 3 logits x 4 bytes
    assert sizes(kind="flgc", groups=3) == [*sizes(kind="sc"), ("all_gather", 192, 96), ("reduce_scatter", 192, 96)]


def test_shuffle_exchanges_its_output():
    # 16 own channels x 3 images x 16 pixels x 4 bytes = 3072, of which half stays
    assert sizes(kind="shuffle") == [("all_to_all", 3072, 1536)] * 2


@pytest.mark.parametrize(("rank", "kept"), [(0, 2), (1, 0), (2, 0), (3, 2)])
def test_shuffle_with_unequal_shares(rank, kept):
    # 16 channels, 8 groups, 4 ranks. Before the shuffle rank r has groups 2r, 2r+1; afterwards channels 4r to 4r+3,
    # which come from groups 0-3, 4-7, 0-3, 4-7: rank 0 keeps those of groups 0 and 1, rank 3 those of 6 and 7.
    channel = 3 * 16 * 4
    received = (4 - kept) * channel
    assert (
        sizes(kind="shuffle", ranks=4, rank=rank, groups=8, out_channels=16)
        == [("all_to_all", 4 * channel, received)] * 2
    )


@pytest.mark.parametrize("kind", ["gc", "stem"])
def test_group_convolution_and_stem_send_nothing(kind):
    assert sizes(kind=kind) == []


def test_the_classifier_sums_its_logits():
    assert sizes(ranks=4, kind="classifier", out_channels=10) == [("all_reduce", 120, 180)]


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="kind='pooling' is unknown"):
        sizes(kind="pooling")
