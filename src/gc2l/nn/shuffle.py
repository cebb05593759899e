"""Group convolution followed by the channel shuffle of ShuffleNet (Zhang et al. 2018)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from gc2l.nn.algorithms import check_algorithm, choose_group
from gc2l.nn.blocks import block_diagonal
from gc2l.nn.convolution import Convolution, check_groups, convolve_dense, standard_convolution
from gc2l.nn.geometry import is_channels_last
from gc2l.nn.group import GroupConv2d, group_convolution, initialise
from gc2l.nn.traced import wants_formula


class ShuffleGroupConv2d(Convolution):
    """Group convolution whose output channels are shuffled across the groups: view (n, c_out/n), transpose, flatten.

    Output channel a n + b is channel a of group b, so each group of a following layer sees every group of this one.

    Args, shape, parameters and errors are those of `GroupConv2d`; the bias belongs to the unshuffled channels.
    """

    ALGORITHMS = GroupConv2d.ALGORITHMS

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
        algorithm: str = "auto",
    ) -> None:
        check_groups(in_channels, out_channels, groups)
        check_algorithm(algorithm, self.ALGORITHMS)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.algorithm = algorithm
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming normal over one group's filters (fan_out = k_h k_w c_out / n), bias zero."""
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x (N, c_in, H, W) or (c_in, H, W)."""
        algorithm = self.chosen_algorithm(x)
        if algorithm == "folded":
            return convolve_dense(self, x, self.dense_weight(), self.dense_bias())  # shuffling rows is free
        y = group_convolution(self, x, algorithm)  # (N, c_out, H', W')
        if y.dim() == 4 and y.device.type == "cpu" and y.is_floating_point() and not wants_formula():
            return ChannelShuffle.apply(y, self.groups)
        if y.dim() == 4 and y.is_contiguous(memory_format=torch.channels_last):
            # Shuffled as (N, H', W', c_out), or the copy would fall back to channels-first and slow what follows.
            return self._shuffled(y.movedim(1, -1), -1).movedim(-1, 1)
        return self._shuffled(y, -3)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return self._shuffled(block_diagonal(self.weight, self.groups), 0)

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals, with weights of its own."""
        return standard_convolution(self, self.dense_weight(), self.dense_bias())

    def dense_bias(self) -> Tensor | None:
        """The bias (c_out) of the standard convolution that this layer equals, differentiable."""
        return None if self.bias is None else self._shuffled(self.bias, 0)

    def chosen_algorithm(self, x: Tensor) -> str:
        """The algorithm that computes the layer for x: the prescribed one, or what "auto" takes."""
        return choose_group(self, x) if self.algorithm == "auto" else self.algorithm

    def extra_repr(self) -> str:
        """Conv2d's line, and the algorithm if one is prescribed."""
        return super().extra_repr() + ("" if self.algorithm == "auto" else f", algorithm={self.algorithm}")

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
