"""The pre-activation residual unit of the wide residual networks (Zagoruyko, Komodakis 2016; paper, section 4)."""

from typing import Any, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.names import check_choice
from gc2l.nn import Convolution, GroupConv2d, make_conv
from gc2l.variants import VARIANTS, CoarseLevel, check_variant


class ResidualUnit(nn.Module):
    """x + F(x), where F is twice batch norm, ReLU, 3 x 3 convolution of the variant.

    Where width or stride changes, the shortcut is a 1 x 1 convolution of the variant, and it shares the first batch
    norm and ReLU.

    Args:
        in_channels, out_channels: c_in, c_out.
        stride: of the first convolution and the shortcut.
        variant, groups: the convolution, see `gc2l.nn.make_conv`.
        coarse_level: of GC-2L, the kernel sizes that have one; with "3x3" or "1x1" the other convolutions are what
            GC-2L is without its coarse level.
        options: of the variant, such as coarse_channels.

    Shape:
        input (N, c_in, H, W), output (N, c_out, ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: an unknown coarse_level, one that is not "all" for a variant without a coarse level, and the errors
            of `gc2l.nn.make_conv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        variant: str,
        groups: int,
        coarse_level: CoarseLevel = "all",
        **options: Any,
    ) -> None:
        super().__init__()
        check_variant(variant, groups)
        check_choice("coarse_level", coarse_level, get_args(CoarseLevel))
        left = VARIANTS[variant].without_coarse_level
        if left is None and coarse_level != "all":
            raise ValueError(f"coarse_level={coarse_level!r} with variant={variant!r}, which has none: take 'all'")

        def conv(c_in: int, kernel_size: int, **geometry: Any) -> GroupConv2d | Convolution:
            geometry |= {"groups": groups, "bias": False}
            if left is None or coarse_level in ("all", f"{kernel_size}x{kernel_size}"):
                return make_conv(variant, c_in, out_channels, kernel_size, **geometry, **options)
            return make_conv(left, c_in, out_channels, kernel_size, **geometry)

        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv(in_channels, 3, stride=stride, padding=1)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(out_channels, 3, padding=1)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv(in_channels, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit to x (N, c_in, H, W)."""
        active = F.relu(self.norm1(x))  # (N, c_in, H, W)
        residual = self.conv2(F.relu(self.norm2(self.conv1(active))))  # (N, c_out, H', W')
        return residual + (x if self.shortcut is None else self.shortcut(active))
