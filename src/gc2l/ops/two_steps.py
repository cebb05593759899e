"""The coarse level in two steps, z = r x and y + C z, for what has to happen between them.

A channel-parallel layer sends z of its own groups to the other ranks and needs theirs before it can add C z. Here z is
stored by channel, (n m, N, H', W'), as it is sent; x and y are channels last.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from gc2l.ops.cpu import coarse_level
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import pixels


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x: (N, c_in, H, W) -> (n m, N, H', W')."""
    return _Restrict.apply(x, restriction, geometry)


def add_coarse(y: Tensor, z: Tensor, coarse: Tensor) -> Tensor:
    """y + C z, written to y: y (N, c_out, H', W'), z (n m, N, H', W'), C (c_out, n m, 1, 1)."""
    return _AddCoarse.apply(y, z, coarse)


class _Restrict(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, restriction)
        ctx.geometry = geometry
        z = coarse_level(x, restriction, len(restriction)).restrict(x, restriction, geometry)
        size = geometry.output_size((x.shape[2], x.shape[3]), (restriction.shape[2], restriction.shape[3]))
        return _by_channel(z, x, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, restriction = ctx.saved_tensors
        level = coarse_level(x, restriction, len(restriction))
        return *level.restrict_backward(gradient.flatten(1).T, x, restriction, ctx.geometry), None


class _AddCoarse(Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, z: Tensor, coarse: Tensor) -> Tensor:
        ctx.save_for_backward(z, coarse)
        ctx.mark_dirty(y)
        coarse_level(y, coarse, len(z)).add_coarse(pixels(y), z.flatten(1).T, coarse.flatten(1))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        z, coarse = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        level = coarse_level(gradient, coarse, len(z))
        z_gradient, coarse_gradient = level.coarse_gradients(pixels(gradient), z.flatten(1).T, coarse.flatten(1))
        return gradient, _by_channel(z_gradient, gradient, gradient.shape[2:]), coarse_gradient.reshape(coarse.shape)


def _by_channel(z: Tensor, like: Tensor, size: Sequence[int]) -> Tensor:
    """z (N H' W', n m) copied to (n m, N, H', W'), with N of `like`."""
    by_channel = z.new_empty(z.shape[1], len(like), *size)
    by_channel.view(len(by_channel), -1).copy_(z.T)
    return by_channel
