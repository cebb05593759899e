"""Convolution with a 1 x 1 kernel as one matrix product for each group, without a copy of input or output."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from gc2l.nn.geometry import Geometry, is_channels_last
from gc2l.nn.traced import formula_gradients, wants_formula


def rows(x: Tensor) -> Tensor:
    """The pixels of x (N, c, H, W) as a matrix (N H W, c): a view when x is channels last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def new_image(like: Tensor, channels: int, size: Sequence[int]) -> Tensor:
    """An uninitialised (N, channels, *size), channels last, with N, dtype and device of `like`.

    What a function of autograd returns is allocated by it, and `rows` of it written: a view could not be changed in
    place by what follows.
    """
    shape = (len(like), channels, *size)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def image(pixels: Tensor, like: Tensor) -> Tensor:
    """The matrix (N H W, c) as (N, c, H, W), channels last, with N, H and W of `like`."""
    return pixels.view(like.shape[0], *like.shape[2:], -1).permute(0, 3, 1, 2)


def pointwise_input(x: Tensor, to: Geometry) -> Tensor:
    """The pixels of x (N, c, H, W) that a 1 x 1 convolution sees: (N, c, H', W')."""
    (s_h, s_w), (p_h, p_w) = to.stride, to.padding
    padded = F.pad(x, (p_w, p_w, p_h, p_h)) if p_h or p_w else x
    return ChannelsLast.apply(padded, s_h, s_w) if s_h > 1 or s_w > 1 else padded


class ChannelsLast(Function):
    """Every s_h-th row and s_w-th column of x, channels last.

    The gradient has the memory format of x; that of PyTorch's own slices and copies has not, which slows what follows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, s_h: int, s_w: int) -> Tensor:
        """Copy the pixels."""
        ctx.shape, ctx.strides = x.shape, (s_h, s_w)
        ctx.memory_format = torch.channels_last if is_channels_last(x) else torch.contiguous_format
        seen = x[:, :, ::s_h, ::s_w]
        return new_image(x, x.shape[1], seen.shape[2:]).copy_(seen)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Zero between them."""
        s_h, s_w = ctx.strides
        like = {"dtype": gradient.dtype, "device": gradient.device, "memory_format": ctx.memory_format}
        if ctx.strides == (1, 1):
            return gradient.contiguous(memory_format=ctx.memory_format), None, None
        spread = torch.empty(ctx.shape, **like).zero_()
        spread[:, :, ::s_h, ::s_w] = gradient
        return spread, None, None


def grouped_product(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """y_j = A_j x_j + b_j for weight A (c_out, c_in/n, 1, 1): (N, c_in, H, W) -> (N, c_out, H, W), channels last."""
    y = new_image(x, len(weight), x.shape[2:])
    by_group = rows(x).chunk(groups, 1), weight.flatten(1).chunk(groups), rows(y).chunk(groups, 1)
    for x_j, a_j, y_j in zip(*by_group, strict=True):
        torch.mm(x_j, a_j.T, out=y_j)
    if bias is not None:
        rows(y).add_(bias)
    return y


def grouped_product_backward(gradient: Tensor, x: Tensor, weight: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """The gradients of x and of `weight`."""
    pixels, upstream = rows(x), rows(gradient)
    x_gradient = torch.empty_like(pixels)
    weight_gradient = weight.new_empty(weight.shape[:2])
    for x_j, a_j, g_j, dx_j, da_j in zip(
        pixels.chunk(groups, 1),
        weight.flatten(1).chunk(groups),
        upstream.chunk(groups, 1),
        x_gradient.chunk(groups, 1),
        weight_gradient.chunk(groups),
        strict=True,
    ):
        torch.mm(g_j, a_j, out=dx_j)
        # With the narrow matrix on the left.
        if x_j.shape[1] < g_j.shape[1]:
            da_j.copy_((x_j.T @ g_j).T)
        else:
            torch.mm(g_j.T, x_j, out=da_j)
    return image(x_gradient, x), weight_gradient.view_as(weight)


def dense_product(x: Tensor, weight: Tensor, bias: Tensor | None, to: Geometry) -> Tensor:
    """The standard convolution with weight (c_out, c_in, k_h, k_w); where the kernel is 1 x 1, as a matrix product."""
    pointwise = weight.shape[2:] == (1, 1) and (to.stride, to.padding) == ((1, 1), (0, 0))
    if wants_formula() or not pointwise or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return to.convolve(x, weight, bias, groups=1)
    # Measured in float32: the framework's 1 x 1 kernel takes a fifth more time where channels are few.
    if x.dim() != 4 or not x.numel() or not is_channels_last(x) or x.dtype is not torch.float32:
        return to.convolve(x, weight, bias, groups=1)
    return GroupedProduct.apply(x, weight, bias, 1)


class GroupedProduct(Function):
    """`grouped_product` with its backward pass; arguments x, weight, bias, groups."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        """Compute y."""
        ctx.save_for_backward(x, weight, bias)
        ctx.groups = groups
        return grouped_product(x, weight, bias, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of x, weight and bias."""
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():

            def formula(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                return F.conv2d(x, weight, bias, groups=ctx.groups)

            return *formula_gradients(formula, (x, weight, bias), gradient), None
        bias_gradient = None if bias is None else rows(gradient).sum(0)
        return *grouped_product_backward(gradient, x, weight, ctx.groups), bias_gradient, None
