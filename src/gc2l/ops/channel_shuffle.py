"""The channel shuffle by the framework's own kernel, which keeps the memory format."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from gc2l.ops import reference
from gc2l.ops.memory_format import is_channels_last
from gc2l.ops.transforms import gradient_needs_formula, in_torch_func, needs_formula


def shuffle(y: Tensor, groups: int) -> Tensor:
    """The channels of y (N, c, H, W) or (c, H, W) shuffled across the groups, in the memory format of y."""
    if y.dim() == 4 and y.device.type == "cpu" and y.is_floating_point() and not needs_formula():
        return _ChannelShuffle.apply(y, groups)
    if y.dim() == 4 and not in_torch_func() and y.is_contiguous(memory_format=torch.channels_last):
        # As (N, H', W', c_out), or the copy would be channels first and slow down what follows.
        return reference.shuffle(y.movedim(1, -1), groups, -1).movedim(-1, 1)
    return reference.shuffle(y, groups, -3)


class _ChannelShuffle(Function):
    """`F.channel_shuffle`, several times faster than a transposed copy, with the gradient that PyTorch lacks."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, groups: int) -> Tensor:
        ctx.inverse = y.shape[1] // groups
        ctx.memory_format = torch.channels_last if is_channels_last(y) else torch.contiguous_format
        return F.channel_shuffle(y, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        # Transposing (n, c/n) is undone by transposing (c/n, n).
        if gradient_needs_formula(gradient):
            # As in `reference.shuffle`, but PyTorch cannot unflatten several gradients at once.
            blocks = gradient.reshape(len(gradient), ctx.inverse, -1, *gradient.shape[2:])
            return blocks.transpose(1, 2).reshape(gradient.shape), None
        return _ChannelShuffle.apply(gradient.contiguous(memory_format=ctx.memory_format), ctx.inverse), None
