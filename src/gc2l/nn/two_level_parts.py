"""The coarse level of GC-2L in two parts with hand-written passes, for what has to happen between them.

A channel-parallel layer sends z = r x of its own groups to the other ranks and gets theirs before it can add C z. Here
z is stored by channel, (n m, N, H', W'), as it travels; x and y are channels last.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from gc2l.nn.geometry import Geometry
from gc2l.nn.pointwise import rows
from gc2l.nn.two_level_taps import by_channel, restrict, restrict_backward


class Restriction(Function):
    """z = r x by a matrix product with all taps; arguments x, restriction, geometry."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
        """Compute z (n m, N, H', W')."""
        ctx.save_for_backward(x, restriction)
        ctx.geometry = geometry
        return restrict(x, restriction, geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of x and r."""
        x, restriction = ctx.saved_tensors
        return *restrict_backward(gradient, x, restriction, ctx.geometry), None


class AddCoarse(Function):
    """y + C z, in the place of y; arguments y (N, c_out, H', W'), channels last, z (n m, N, H', W'), C."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, z: Tensor, coarse: Tensor) -> Tensor:
        """Add to y."""
        ctx.save_for_backward(z, coarse)
        ctx.mark_dirty(y)
        rows(y).addmm_(z.flatten(1).T, coarse.flatten(1).T)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of y, z and C."""
        z, coarse = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        upstream = rows(gradient)
        return gradient, by_channel(upstream, coarse, gradient), (z.flatten(1) @ upstream).T.reshape(coarse.shape)
