"""How the channels of a group lie when grouped.c reads them: where each number is copied from and each tap reads."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.edge.tiles import LANES
from gc2l.ops.geometry import Geometry

DIRECT, BY_ROW, BY_COLUMN = range(3)


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy of one channel, or for DIRECT the channel itself.

    Attributes:
        layout: DIRECT, BY_ROW or BY_COLUMN of grouped.c.
        plane: numbers from one channel to the next.
        pitch: BY_ROW, numbers from one row to the next.
        taps: (k_h k_w) where each tap reads for the first pixel.
        sources: for each vector of 16 output pixels, where the first tap reads.
        places: where it goes in the output.
        stored: bit i for its lane i, int16.
        pieces: BY_COLUMN, where each 16 numbers of the copy come from.
    """

    layout: int
    plane: int
    pitch: int = 0
    taps: Tensor
    sources: Tensor
    places: Tensor
    stored: Tensor
    pieces: Tensor = field(default_factory=lambda: torch.zeros(0))


def copy_of(geometry: Geometry, kernel: tuple[int, int], size: tuple[int, int], complete: bool) -> Copy:
    """The layout for an image of `size` (H, W); `complete` says that no channel of zeros is to be added."""
    out = geometry.output_size(size, kernel)
    if complete and kernel == geometry.stride == (1, 1) and geometry.padding == (0, 0):
        places, stored = _flat(math.prod(out))
        taps = torch.zeros(1, dtype=torch.long)
        return Copy(layout=DIRECT, plane=math.prod(size), taps=taps, sources=places, places=places, stored=stored)
    # Vectors that end with the rows of the output, where they leave few lanes idle.
    if geometry.stride[1] == 1 and out[0] * math.ceil(out[1] / LANES) <= 1.1 * math.prod(out) / LANES:
        return _by_row(geometry, kernel, size, out)
    return _by_column(geometry, kernel, size, out)


def spread(numbers: int) -> int:
    """At least 16 more, in an odd number of lines: channels then do not meet in the same sets of the cache."""
    lines = numbers // LANES + 2
    return LANES * (lines + 1 - lines % 2)


def pieces(place: Tensor, pixels: int) -> Tensor:
    """The struct `piece` of grouped.c for each 16 of the places in an image of that many pixels; -1 is for zero.

    Returns:
        (pieces, bytes of one), uint8.
    """
    place = place.view(-1, LANES)
    seen, far = place >= 0, torch.iinfo(torch.long).max - LANES
    first = torch.where(seen, place, far).amin(1, keepdim=True)
    beyond = seen & (place >= first + LANES)
    second = torch.where(beyond, place, far).amin(1, keepdim=True)
    many = (beyond & (place >= second + LANES)).any(1, keepdim=True)
    lanes = torch.where(beyond, place - second + LANES, place - first)
    runs = torch.cat((first, second), 1)
    in_image = _bits((runs < pixels)[..., None] & (runs[..., None] + torch.arange(LANES) < pixels))
    fields = (
        torch.where(runs == far, 0, runs),
        torch.cat((in_image, _bits(seen)[:, None], many), 1).to(torch.int16),
        torch.where(seen, torch.where(many, place, lanes), 0).to(torch.int32),
    )
    return torch.cat([value.contiguous().view(torch.uint8) for value in fields], 1)


def _by_row(geometry: Geometry, kernel: tuple[int, int], size: tuple[int, int], out: tuple[int, int]) -> Copy:
    height, width = (side + 2 * padding for side, padding in zip(size, geometry.padding, strict=True))
    rows, across = torch.arange(out[0])[:, None], torch.arange(0, out[1], LANES)
    down, right = _taps(geometry, kernel)
    return Copy(
        layout=BY_ROW,
        plane=spread(height * width),
        pitch=width,
        taps=(down[:, None] * width + right).flatten(),
        sources=(rows * geometry.stride[0] * width + across).flatten(),
        places=(rows * out[1] + across).flatten(),
        stored=_stored(out[1] - across).repeat(out[0]),
    )


def _by_column(geometry: Geometry, kernel: tuple[int, int], size: tuple[int, int], out: tuple[int, int]) -> Copy:
    stride, (down, right) = geometry.stride[0], _taps(geometry, kernel)
    # Rows of the padded image with one remainder by the stride follow each other, as far as a tap sees them.
    rows: list[int] = []
    first = torch.zeros_like(down)
    for phase in (down % stride).unique().tolist():
        mine = down % stride == phase
        first[mine] = len(rows) + down[mine] // stride
        last = out[0] + int(down[mine].max()) // stride
        rows += [row * stride + phase - geometry.padding[0] for row in range(last)]
    row = torch.tensor(rows)[:, None]
    column = right[:, None, None] + torch.arange(out[1]) * geometry.stride[1] - geometry.padding[1]
    inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    place = torch.where(inside, row * size[1] + column, -1).flatten()  # (k_w, rows, W')
    place = F.pad(place, (0, spread(len(place)) - len(place)), value=-1)
    places, stored = _flat(math.prod(out))
    return Copy(
        layout=BY_COLUMN,
        plane=len(place),
        taps=((torch.arange(kernel[1]) * len(rows) + first[:, None]) * out[1]).flatten(),
        sources=places,
        places=places,
        stored=stored,
        pieces=pieces(place, math.prod(size)),
    )


def _flat(pixels: int) -> tuple[Tensor, Tensor]:
    """Where vectors begin that run across the ends of rows, and `Copy.stored`."""
    first = torch.arange(0, pixels, LANES)
    return first, _stored(pixels - first)


def _taps(geometry: Geometry, kernel: tuple[int, int]) -> tuple[Tensor, Tensor]:
    down, right = (torch.arange(k) * dilation for k, dilation in zip(kernel, geometry.dilation, strict=True))
    return down, right


def _stored(left: Tensor) -> Tensor:
    """`Copy.stored` where so many pixels are left for each vector and those after it."""
    return _bits(torch.arange(LANES) < left[:, None]).to(torch.int16)


def _bits(lanes: Tensor) -> Tensor:
    """Bit i is lane i of the last dimension."""
    return (lanes * 2 ** torch.arange(LANES)).sum(-1)
