"""Two-level group convolution followed by the channel shuffle of ShuffleNet: both ways of mixing groups at once."""

from typing import Self

import torch
from torch import Tensor, nn

from gc2l.nn.convolution import check_dense
from gc2l.nn.group import GroupConv2d
from gc2l.nn.two_level import TwoLevelGroupConv2d
from gc2l.ops import reference
from gc2l.ops.channel_shuffle import shuffle


class ShuffleTwoLevelGroupConv2d(TwoLevelGroupConv2d):
    """`TwoLevelGroupConv2d` whose output channels are shuffled across the groups, as in `ShuffleGroupConv2d`.

    Output channel a n + b is channel a of group b. Args, shape, parameters and errors are those of
    `TwoLevelGroupConv2d`; the bias belongs to the unshuffled channels. With C = 0 it is `ShuffleGroupConv2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to input (N, c_in, H, W) or (c_in, H, W)."""
        return shuffle(super().forward(input), self.groups)

    def in_row_order(self, values: Tensor) -> Tensor:
        """Values (c_out, ...) of the output channels as they stand before the shuffle."""
        return reference.shuffle(values, self.out_channels // self.groups, 0)  # (n, c/n) transposed back

    @torch.no_grad()
    def set_nearest(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the weights nearest to a dense `weight`: those of GC-2L to its unshuffled rows. And the bias.

        Raises:
            NotImplementedError: a layer with an overlap, for which there is no closed form.
            ValueError: a weight or bias of another shape.
        """
        check_dense(self, weight, bias)
        super().set_nearest(self.in_row_order(weight), None if bias is None else self.in_row_order(bias))

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return reference.shuffle(self._folded_weight(), self.groups, 0)

    def dense_bias(self) -> Tensor | None:
        """The bias (c_out) of the standard convolution that this layer equals, differentiable."""
        return None if self.bias is None else reference.shuffle(self.bias, self.groups, 0)

    @classmethod
    def from_group_conv(cls, conv: nn.Conv2d, *, coarse_channels: int = 1) -> Self:
        """Not there: with C = 0 the layer is no group convolution.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"a {cls.__name__} is no {type(conv).__name__} with a coarse level: it shuffles its output")

    def group_conv(self) -> GroupConv2d:
        """Not there: with C = 0 the layer is no group convolution.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"without its coarse level a {type(self).__name__} is no GroupConv2d: it shuffles its output")
