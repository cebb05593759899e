"""Group convolution followed by the channel shuffle of ShuffleNet (Zhang et al. 2018)."""

from typing import Any

import torch
from torch import Tensor

from gc2l.nn.arguments import check_groups
from gc2l.nn.convolution import Convolution, check_dense, geometry_of, padded_input, reset_group_weights
from gc2l.ops import folded, reference
from gc2l.ops.channel_shuffle import shuffle
from gc2l.ops.choose import choose_shuffle
from gc2l.ops.functional import GROUP_WAYS, check_way, group_conv
from gc2l.ops.weights import block_diagonal, diagonal_blocks


class ShuffleGroupConv2d(Convolution):
    """Group convolution whose output channels are shuffled across the groups: view (n, c_out/n), transpose, flatten.

    Output channel a n + b is channel a of group b, so each group of a following layer sees every group of this one.

    Args, shape, parameters and errors are those of `GroupConv2d`; the bias belongs to the unshuffled channels.
    """

    ALGORITHMS = ("auto", *GROUP_WAYS)

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
        check_way(algorithm, GROUP_WAYS)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.algorithm = algorithm
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming normal over one group's filters (fan_out = k_h k_w c_out / n), bias zero."""
        reset_group_weights(self)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to input (N, c_in, H, W) or (c_in, H, W)."""
        algorithm = self.chosen_algorithm(input)
        padded, geometry = padded_input(self, input)
        if algorithm == "folded":
            # The rows of the dense weight can be shuffled in place of the output.
            dense = folded.block_diagonal_for(padded, self.weight, self.groups)
            return folded.dense(padded, reference.shuffle(dense, self.groups, 0), self.dense_bias(), geometry)
        return shuffle(group_conv(padded, self.weight, self.bias, geometry, algorithm), self.groups)

    def in_row_order(self, values: Tensor) -> Tensor:
        """Values (c_out, ...) of the output channels as they stand before the shuffle."""
        return reference.shuffle(values, self.out_channels // self.groups, 0)  # (n, c/n) transposed back

    @torch.no_grad()
    def set_nearest(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the weights nearest to a dense `weight`: the diagonal blocks of its unshuffled rows. And the bias.

        Raises:
            ValueError: a weight or bias of another shape.
        """
        check_dense(self, weight, bias)
        self.weight.copy_(diagonal_blocks(self.in_row_order(weight), self.groups))
        if bias is not None and self.bias is not None:
            self.bias.copy_(self.in_row_order(bias))

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return reference.shuffle(block_diagonal(self.weight, self.groups), self.groups, 0)

    def dense_bias(self) -> Tensor | None:
        """The bias (c_out) of the standard convolution that this layer equals, differentiable."""
        return None if self.bias is None else reference.shuffle(self.bias, self.groups, 0)

    def chosen_algorithm(self, x: Tensor) -> str:
        """The algorithm that computes the layer for x: the prescribed one, or what "auto" takes."""
        check_way(self.algorithm, GROUP_WAYS)
        return choose_shuffle(x, self.weight, geometry_of(self)) if self.algorithm == "auto" else self.algorithm

    def extra_repr(self) -> str:
        """Conv2d's line, and the algorithm if one is prescribed."""
        return super().extra_repr() + ("" if self.algorithm == "auto" else f", algorithm={self.algorithm}")
