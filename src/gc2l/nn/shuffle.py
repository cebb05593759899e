"""Group convolution followed by the channel shuffle of ShuffleNet (Zhang et al. 2018)."""

import torch
from torch import Tensor, nn

from gc2l.nn.convolution import standard_convolution
from gc2l.nn.group import GroupConv2d


class ShuffleGroupConv2d(GroupConv2d):
    """Group convolution whose output channels are shuffled across the groups: view (n, c_out/n), transpose, flatten.

    Output channel a n + b is channel a of group b, so each group of a following layer sees every group of this one.

    Args, shape, parameters and errors are those of `GroupConv2d`; the bias belongs to the unshuffled channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x (N, c_in, H, W) or (c_in, H, W)."""
        y = super().forward(x)  # (N, c_out, H', W')
        if y.dim() == 4 and y.is_contiguous(memory_format=torch.channels_last):
            # Shuffled as (N, H', W', c_out), or the copy would fall back to channels-first and slow what follows.
            return self._shuffled(y.movedim(1, -1), -1).movedim(-1, 1)
        return self._shuffled(y, -3)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return self._shuffled(super().dense_weight(), 0)

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals, with weights of its own."""
        bias = None if self.bias is None else self._shuffled(self.bias, 0)
        return standard_convolution(self, self.dense_weight(), bias)

    def _shuffled(self, values: Tensor, dim: int) -> Tensor:
        dim %= values.dim()
        return values.unflatten(dim, (self.groups, -1)).transpose(dim, dim + 1).flatten(dim, dim + 1)
