"""Which input channels a filter reads, where that is a window of consecutive channels, cyclically modulo c_in.

An overlap is a share of a window or group, and counts whole channels: floor(overlap * channels). The indices depend on
nothing but the sizes, so they are computed where they are needed and are no part of a layer's state.
"""

import math

import torch
from torch import Tensor


def check_overlap(overlap: float) -> None:
    """Check an overlap.

    Raises:
        ValueError: it does not lie in [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap={overlap} must be at least 0 and less than 1")


def shared_channels(overlap: float, channels: int) -> int:
    """floor(overlap * channels), of the decimal number that is written: 0.29 of 100 channels are 29."""
    return math.floor(round(overlap * channels, 9))


def sliding_windows(c_in: int, c_out: int, width: int, step: int, device: torch.device) -> Tensor:
    """The channels (c_out, width) that each filter reads when each window starts `step` further on than the last."""
    starts = step * torch.arange(c_out, device=device)
    return (starts[:, None] + torch.arange(width, device=device)) % c_in


def extended_groups(c_in: int, groups: int, halo: int, device: torch.device) -> Tensor:
    """The channels (n, c_in/n + 2 halo) of each group, with `halo` neighbours before and after them."""
    own = c_in // groups
    return sliding_windows(c_in, groups, own + 2 * halo, own, device).sub(halo).remainder(c_in)


def spread(weight: Tensor, channels: Tensor, c_in: int) -> Tensor:
    """The dense weight (c_out, c_in, k_h, k_w) of filters (c_out, w, k_h, k_w) that read `channels` (c_out, w)."""
    dense = weight.new_zeros(weight.shape[0], c_in, *weight.shape[2:])
    return dense.scatter(1, channels[:, :, None, None].expand_as(weight), weight)
