"""Group convolution followed by the channel shuffle of ShuffleNet (Zhang et al. 2018)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from gc2l.nn.convolution import convolve_dense, standard_convolution
from gc2l.nn.geometry import is_channels_last
from gc2l.nn.group import GroupConv2d
from gc2l.nn.traced import wants_formula


class ShuffleGroupConv2d(GroupConv2d):
    """Group convolution whose output channels are shuffled across the groups: view (n, c_out/n), transpose, flatten.

    Output channel a n + b is channel a of group b, so each group of a following layer sees every group of this one.

    Args, shape, parameters and errors are those of `GroupConv2d`; the bias belongs to the unshuffled channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x (N, c_in, H, W) or (c_in, H, W)."""
        if self.chosen_algorithm(x) == "folded":
            return convolve_dense(self, x, self.dense_weight(), self._shuffled_bias())  # shuffling rows is free
        y = super().forward(x)  # (N, c_out, H', W')
        if y.dim() == 4 and y.device.type == "cpu" and y.is_floating_point() and not wants_formula():
            return ChannelShuffle.apply(y, self.groups)
        if y.dim() == 4 and y.is_contiguous(memory_format=torch.channels_last):
            # Shuffled as (N, H', W', c_out), or the copy would fall back to channels-first and slow what follows.
            return self._shuffled(y.movedim(1, -1), -1).movedim(-1, 1)
        return self._shuffled(y, -3)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return self._shuffled(super().dense_weight(), 0)

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals, with weights of its own."""
        return standard_convolution(self, self.dense_weight(), self._shuffled_bias())

    def _shuffled_bias(self) -> Tensor | None:
        return None if self.bias is None else self._shuffled(self.bias, 0)

    def _shuffled(self, values: Tensor, dim: int) -> Tensor:
        dim %= values.dim()
        return values.unflatten(dim, (self.groups, -1)).transpose(dim, dim + 1).flatten(dim, dim + 1)


class ChannelShuffle(Function):
    """The channels of y (N, c, H, W) shuffled by the framework's own kernel, which keeps the memory format.

    It is several times faster channels last than a transposed copy, but the framework differentiates only the latter.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, groups: int) -> Tensor:
        """Shuffle."""
        ctx.inverse = y.shape[1] // groups
        ctx.memory_format = torch.channels_last if is_channels_last(y) else torch.contiguous_format
        return F.channel_shuffle(y, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Shuffle back: transposing (n, c/n) is undone by transposing (c/n, n)."""
        return ChannelShuffle.apply(gradient.contiguous(memory_format=ctx.memory_format), ctx.inverse), None
