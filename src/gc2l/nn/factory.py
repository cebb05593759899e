"""Choose a convolution by the name of its variant."""

from pkgutil import resolve_name
from typing import Any

from torch import nn

from gc2l.nn.convolution import Convolution
from gc2l.nn.group import GroupConv2d
from gc2l.nn.two_level import TwoLevelGroupConv2d, check_coarse_channels
from gc2l.variants import VARIANTS, check_variant


def make_conv(
    variant: str,
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int],
    *,
    groups: int,
    **kwargs: Any,
) -> nn.Conv2d | Convolution:
    """Make the convolution `variant` with the arguments of `torch.nn.Conv2d`.

    With groups = 1 every variant but FLGC is the standard convolution: a single group already sees every channel.

    Args:
        variant: a key of `gc2l.variants.VARIANTS`: "sc", "gc", "gc2l", "shuffle" or "flgc".
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k, or (k_h, k_w).
        groups: n; 1 for "sc".
        **kwargs: further arguments of the layer.

    Raises:
        ValueError: an unknown variant, groups < 1, "sc" with groups > 1, groups that does not divide the channels,
            coarse_channels < 1.
        TypeError: an argument that the layer of the variant does not have.
    """
    check_variant(variant, groups)
    layer = resolve_name(VARIANTS[variant].layer)
    if groups == 1 and VARIANTS[variant].dense_at_one_group:
        if layer is TwoLevelGroupConv2d:
            check_coarse_channels(kwargs.pop("coarse_channels", 1))
        return GroupConv2d(in_channels, out_channels, kernel_size, groups=1, **kwargs)
    return layer(in_channels, out_channels, kernel_size, groups=groups, **kwargs)
