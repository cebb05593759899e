"""Sliding-channel convolution (SCC; Wang, Feng, Ding, IPDPS 2021), for any kernel size."""

from typing import Any

import torch
from torch import Tensor

from gc2l.nn.arguments import check_groups
from gc2l.nn.convolution import Convolution, check_dense, padded_input, reset_group_weights
from gc2l.ops import folded
from gc2l.ops.windows import check_overlap, shared_channels, sliding_windows, spread


class SlidingChannelConv2d(Convolution):
    """A convolution whose filters read overlapping windows of the input channels.

    Filter o reads the w = c_in / n channels o s, o s + 1, ..., o s + w - 1, all modulo c_in, with the step
    s = w - floor(overlap * w):

        y_o = sum_a weight[o, a] * x_{(o s + a) mod c_in},  a = 0 .. w - 1.

    With overlap = 0 the filters take the groups of a group convolution in turn. In the words of domain decomposition
    the windows are overlapping subdomains, where group convolution has disjoint ones. It is computed as the standard
    convolution that it equals.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.
        groups: n, a divisor of c_in and c_out.
        overlap: the share of its window that a filter has in common with the next, at least 0 and less than 1.

    Shape:
        input (N, c_in, H, W) or (c_in, H, W), output (N, c_out, H', W') or (c_out, H', W'), as `torch.nn.Conv2d`.

    Parameters: weight (c_out, c_in/n, k_h, k_w), that is k_h k_w c_in c_out / n numbers, and bias (c_out).

    Raises:
        ValueError: groups < 1, groups does not divide both channel counts, or an overlap outside [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        overlap: float = 0.0,
    ) -> None:
        check_overlap(overlap)
        check_groups(in_channels, out_channels, groups)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.overlap = overlap
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming normal with fan_out = k_h k_w c_out / n, the outputs that a channel reaches on average; bias zero."""
        reset_group_weights(self)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to input (N, c_in, H, W) or (c_in, H, W)."""
        padded, geometry = padded_input(self, input)
        return folded.dense(padded, self.dense_weight(), self.bias, geometry)

    def windows(self) -> Tensor:
        """The channels (c_out, c_in/n) that each filter reads."""
        width = self.in_channels // self.groups
        step = width - shared_channels(self.overlap, width)
        return sliding_windows(self.in_channels, self.out_channels, width, step, self.weight.device)

    @torch.no_grad()
    def set_nearest(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the weights nearest to a dense `weight` (c_out, c_in, k_h, k_w): those in the windows. And the bias.

        Raises:
            ValueError: a weight or bias of another shape.
        """
        check_dense(self, weight, bias)
        self.weight.copy_(weight.gather(1, self.windows()[:, :, None, None].expand_as(self.weight)))
        if bias is not None and self.bias is not None:
            self.bias.copy_(bias)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return spread(self.weight, self.windows(), self.in_channels)

    def extra_repr(self) -> str:
        """Conv2d's line and the overlap."""
        return f"{super().extra_repr()}, overlap={self.overlap:g}"
