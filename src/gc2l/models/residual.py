"""The pre-activation residual unit of the wide residual networks (Zagoruyko, Komodakis 2016; paper, section 4)."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.nn import make_conv


class ResidualUnit(nn.Module):
    """x + F(x), where F is twice batch norm, ReLU, 3 x 3 convolution of the variant.

    Where width or stride changes, the shortcut is a 1 x 1 convolution of the variant, and it shares the first batch
    norm and ReLU.

    Args:
        in_channels, out_channels: c_in, c_out.
        stride: of the first convolution and the shortcut.
        variant, groups: the convolution, see `gc2l.nn.make_conv`.
        options: of the variant, such as coarse_channels.

    Shape:
        input (N, c_in, H, W), output (N, c_out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, variant: str, groups: int, **options: Any
    ) -> None:
        super().__init__()
        options |= {"groups": groups, "bias": False}
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = make_conv(variant, in_channels, out_channels, 3, stride=stride, padding=1, **options)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = make_conv(variant, out_channels, out_channels, 3, padding=1, **options)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = make_conv(variant, in_channels, out_channels, 1, stride=stride, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit to x (N, c_in, H, W)."""
        active = F.relu(self.norm1(x))  # (N, c_in, H, W)
        residual = self.conv2(F.relu(self.norm2(self.conv1(active))))  # (N, c_out, H', W')
        return residual + (x if self.shortcut is None else self.shortcut(active))
