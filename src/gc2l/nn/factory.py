"""Choose a convolution by the name of its variant."""

from pkgutil import resolve_name
from typing import Any

from gc2l.nn.convolution import Convolution
from gc2l.nn.group import GroupConv2d
from gc2l.variants import VARIANTS, check_variant


def make_conv(
    variant: str,
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int],
    *,
    groups: int,
    **kwargs: Any,
) -> GroupConv2d | Convolution:
    """Make the convolution `variant` with the arguments of `torch.nn.Conv2d`.

    With groups = 1 a variant is the standard convolution, since a single group already sees every channel; FLGC, which
    learns its groups, keeps its own layer. Options of the layer are then checked, and have no effect; so is `algorithm`
    where the standard convolution does not have the same ones.

    Args:
        variant: a key of `gc2l.variants.VARIANTS`.
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k, or (k_h, k_w).
        groups: n; 1 for "sc".
        **kwargs: further arguments of the layer.

    Raises:
        ValueError: an unknown variant, groups < 1, "sc" with groups > 1, groups that does not divide the channels,
            an option that the layer refuses, such as coarse_channels < 1.
        TypeError: an argument that the layer of the variant does not have.
    """
    check_variant(variant, groups)
    layer = resolve_name(VARIANTS[variant].layer)
    if groups == 1 and VARIANTS[variant].dense_at_one_group:
        names = set(VARIANTS[variant].options)
        if getattr(layer, "ALGORITHMS", ()) != GroupConv2d.ALGORITHMS:
            names.add("algorithm")
        options = {name: kwargs.pop(name) for name in names & kwargs.keys()}
        # Refuses a wrong option, of which the standard convolution has no use.
        layer(in_channels, out_channels, 1, device="meta", **options)
        return GroupConv2d(in_channels, out_channels, kernel_size, groups=1, **kwargs)
    return layer(in_channels, out_channels, kernel_size, groups=groups, **kwargs)
