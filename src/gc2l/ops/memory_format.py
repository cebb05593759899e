"""Images (N, c, H, W) stored channels last, and as matrices with a row for each pixel."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from gc2l.ops.geometry import Geometry
from gc2l.ops.transforms import gradient_needs_formula


def is_channels_last(x: Tensor) -> bool:
    """Whether x (N, c, H, W) is stored channels last, and not in the usual order too."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def pixels(x: Tensor) -> Tensor:
    """x (N, c, H, W) as a matrix (N H W, c): a view when x is channels last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def new_image(like: Tensor, channels: int, size: Sequence[int]) -> Tensor:
    """An uninitialised (N, channels, *size), channels last, with N, dtype and device of `like`.

    An autograd function returns such an image and fills `pixels` of it. The reverse, a matrix returned as a view of
    shape (N, c, H, W), could not be changed in place by the layer that follows.
    """
    shape = (len(like), channels, *size)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def to_channels_last(x: Tensor) -> Tensor:
    """x (N, c, H, W) stored channels last; its gradient has the memory format of x."""
    return x if is_channels_last(x) else _SubsampledCopy.apply(x, 1, 1)


def pointwise_input(x: Tensor, geometry: Geometry) -> Tensor:
    """The pixels (N, c, H', W') of x (N, c, H, W) that a 1 x 1 convolution with this geometry reads."""
    (s_h, s_w), (p_h, p_w) = geometry.stride, geometry.padding
    padded = F.pad(x, (p_w, p_w, p_h, p_h)) if p_h or p_w else x
    return _SubsampledCopy.apply(padded, s_h, s_w) if s_h > 1 or s_w > 1 else padded


class _SubsampledCopy(Function):
    """Every s_h-th row and s_w-th column of x, channels last.

    The gradient has the memory format of x. The gradient of PyTorch's own slices and copies does not, which slows down
    the layers before.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, s_h: int, s_w: int) -> Tensor:
        ctx.shape, ctx.strides = x.shape, (s_h, s_w)
        ctx.memory_format = torch.channels_last if is_channels_last(x) else torch.contiguous_format
        seen = x[:, :, ::s_h, ::s_w]
        return new_image(x, x.shape[1], seen.shape[2:]).copy_(seen)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        s_h, s_w = ctx.strides
        if gradient_needs_formula(gradient):
            spread = gradient.new_zeros(ctx.shape)
            spread[:, :, ::s_h, ::s_w] = gradient
            return spread, None, None
        if ctx.strides == (1, 1):
            return gradient.contiguous(memory_format=ctx.memory_format), None, None
        like = {"dtype": gradient.dtype, "device": gradient.device, "memory_format": ctx.memory_format}
        spread = torch.empty(ctx.shape, **like).zero_()
        spread[:, :, ::s_h, ::s_w] = gradient
        return spread, None, None
