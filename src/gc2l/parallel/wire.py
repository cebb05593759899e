"""What one layer sends in one training step, in closed form (paper section 3.2); without torch.

Two numbers describe a collective. `volume` is the size of the whole tensor on one rank: the result of an all-gather,
the input of a reduce-scatter, either side of an all-to-all or all-reduce. `received` is what one rank must get from
the others at least: all of it but its own p-th, and for an all-reduce twice that, to sum and to spread the sums.
With N images, element size e, p ranks, n groups, m coarse channels, output H' x W', input H x W:

    variant   forward                              backward         volume of each
    GC        nothing                              nothing
    GC-2L     all-gather of z                      reduce-scatter   n m N H' W' e
    SC        all-gather of x                      reduce-scatter   c_in N H W e   (pointwise: H' W', see standard.py)
    Shuffle   all-to-all of the output             all-to-all       c_out/p N H' W' e
    FLGC      all-gather of x and of the logits S  reduce-scatters  as SC, and c_in n e

The classifier's logits are summed by one all-reduce of N classes e in the forward pass. Stem, batch norm, ReLU and
pooling send nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Pass = Literal["forward", "backward"]


@dataclass(frozen=True, kw_only=True, order=True)
class Traffic:
    """One collective of one layer.

    Attributes:
        layer: path of the layer in the network.
        direction: the pass that it belongs to.
        collective: "all_gather", "reduce_scatter", "all_to_all" or "all_reduce".
        volume: bytes of the whole tensor on one rank.
        received: the least bytes that one rank must get from the others.
    """

    layer: str
    direction: Pass
    collective: str
    volume: int
    received: int


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """The sizes that determine the traffic of a convolution or classifier.

    Attributes:
        layer: path of the layer in the network.
        kind: "stem", "sc", "gc", "gc2l", "shuffle", "flgc" or "classifier".
        in_channels, out_channels: c_in, c_out; of a classifier features and classes.
        groups: n.
        coarse_channels: m.
        pixels_in, pixels_out: H W and H' W'; of a classifier 1.
        pointwise: whether the kernel is 1 x 1 without padding.
    """

    layer: str
    kind: str
    in_channels: int
    out_channels: int
    groups: int
    coarse_channels: int
    pixels_in: int
    pixels_out: int
    pointwise: bool


def layer_traffic(shape: LayerShape, *, ranks: int, images: int, element: int, rank: int = 0) -> list[Traffic]:
    """The collectives of one layer in one training step, in closed form.

    Args:
        shape: the layer.
        ranks: p.
        images: N, images that each rank sees.
        element: bytes of a number.
        rank: whose; only Shuffle with p not dividing c_out/n differs between ranks.

    Raises:
        ValueError: a kind that is not known.
    """
    match shape.kind:
        case "stem" | "gc":
            return []
        case "gc2l":
            coarse = shape.groups * shape.coarse_channels * images * shape.pixels_out * element
            return _gather(shape, coarse, ranks)
        case "sc" | "flgc":
            pixels = shape.pixels_out if shape.pointwise and shape.kind == "sc" else shape.pixels_in
            pair = _gather(shape, shape.in_channels * images * pixels * element, ranks)
            if shape.kind == "flgc":
                pair += _gather(shape, shape.in_channels * shape.groups * element, ranks)
            return pair
        case "shuffle":
            share = shape.out_channels // ranks
            channel = images * shape.pixels_out * element
            kept = _channels_kept(shape, ranks, rank)
            volume, received = share * channel, (share - kept) * channel
            return [_traffic(shape, direction, "all_to_all", volume, received) for direction in ("forward", "backward")]
        case "classifier":
            volume = images * shape.out_channels * element
            return [_traffic(shape, "forward", "all_reduce", volume, 2 * volume * (ranks - 1) // ranks)]
    raise ValueError(f"kind={shape.kind!r} is unknown")


def network_traffic(
    shapes: Iterable[LayerShape], *, ranks: int, images: int, element: int, rank: int = 0
) -> list[Traffic]:
    """The collectives of all layers in one training step, see `layer_traffic`."""
    return [
        traffic
        for shape in shapes
        for traffic in layer_traffic(shape, ranks=ranks, images=images, element=element, rank=rank)
    ]


def _gather(shape: LayerShape, volume: int, ranks: int) -> list[Traffic]:
    received = volume * (ranks - 1) // ranks
    return [
        _traffic(shape, "forward", "all_gather", volume, received),
        _traffic(shape, "backward", "reduce_scatter", volume, received),
    ]


def _traffic(shape: LayerShape, direction: Pass, collective: str, volume: int, received: int) -> Traffic:
    return Traffic(layer=shape.layer, direction=direction, collective=collective, volume=volume, received=received)


def _channels_kept(shape: LayerShape, ranks: int, rank: int) -> int:
    """Own channels that the shuffle leaves on the rank: channel a n + b comes from channel a of group b."""
    share = shape.out_channels // ranks
    groups = shape.groups // ranks
    return sum((o % shape.groups) // groups == rank for o in range(rank * share, (rank + 1) * share))
