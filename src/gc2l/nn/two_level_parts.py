"""The coarse level of GC-2L in two parts with hand-written passes, for what has to happen between them.

A channel-parallel layer sends z = r x of its own groups to the other ranks and gets theirs before it can add C z. Here
z is stored by channel, (n m, N, H', W'), as it travels; x and y are channels last.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from gc2l.nn.algorithms import choose_passes
from gc2l.nn.geometry import Geometry
from gc2l.nn.pointwise import rows


class Restriction(Function):
    """z = r x; arguments x, restriction, geometry."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
        """Compute z (n m, N, H', W')."""
        ctx.save_for_backward(x, restriction)
        ctx.geometry = geometry
        z = choose_passes(x, restriction, len(restriction)).restrict(x, restriction, geometry)
        size = geometry.output_size((x.shape[2], x.shape[3]), (restriction.shape[2], restriction.shape[3]))
        return _by_channel(z, x, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of x and r."""
        x, restriction = ctx.saved_tensors
        passes = choose_passes(x, restriction, len(restriction))
        return *passes.restrict_backward(gradient.flatten(1).T, x, restriction, ctx.geometry), None


class AddCoarse(Function):
    """y + C z, in the place of y; arguments y (N, c_out, H', W'), channels last, z (n m, N, H', W'), C."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, z: Tensor, coarse: Tensor) -> Tensor:
        """Add to y."""
        ctx.save_for_backward(z, coarse)
        ctx.mark_dirty(y)
        choose_passes(y, coarse, len(z)).add_coarse(rows(y), z.flatten(1).T, coarse.flatten(1))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of y, z and C."""
        z, coarse = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        found = choose_passes(gradient, coarse, len(z)).coarse_gradients(
            rows(gradient), z.flatten(1).T, coarse.flatten(1)
        )
        return gradient, _by_channel(found[0], gradient, gradient.shape[2:]), found[1].reshape(coarse.shape)


def _by_channel(pixels: Tensor, like: Tensor, size: Sequence[int]) -> Tensor:
    """(P, n m) as (n m, N, H', W'), with N of `like`; a copy, as it travels in this order."""
    z = pixels.new_empty(pixels.shape[1], len(like), *size)
    z.view(len(z), -1).copy_(pixels.T)
    return z
