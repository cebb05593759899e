"""The Triton kernels as operators of PyTorch, `torch.ops.gc2l`, which a compiler takes as they are.

Eager code reaches the kernels through `gc2l.ops.autograd`; a compiler cannot look into them. What the kernels do not
serve is computed by the framework inside the operator. x and gradients of y are stored channels last.
"""

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from gc2l.ops import reference
from gc2l.ops.autograd import formula_gradients
from gc2l.ops.cuda import grouped
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import new_image, pixels

_LAST = torch.channels_last


@custom_op("gc2l::group_conv", mutates_args=())
def group_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """y (N, c_out, H', W') of `gc2l.ops.reference.group`."""
    return grouped.group_forward(x, weight, bias, _geometry(stride, padding, dilation, groups))


@custom_op("gc2l::group_conv_backward", mutates_args=())
def group_conv_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> tuple[Tensor, Tensor]:
    """The gradients of x and A."""
    geometry = _geometry(stride, padding, dilation, groups)
    return grouped.group_backward(gradient.contiguous(memory_format=_LAST), x, weight, geometry)


@custom_op("gc2l::two_level_conv", mutates_args=())
def two_level_conv(
    x: Tensor,
    weight: Tensor,
    restriction: Tensor,
    coarse: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> tuple[Tensor, Tensor]:
    """y (N, c_out, H', W') of `gc2l.ops.reference.two_level`, and z = r x as the backward pass wants it."""
    geometry = _geometry(stride, padding, dilation, groups)
    return grouped.two_level_forward(x, weight, restriction, coarse, bias, geometry)


@custom_op("gc2l::two_level_conv_backward", mutates_args=())
def two_level_conv_backward(
    gradient: Tensor,
    x: Tensor,
    z: Tensor,
    weight: Tensor,
    restriction: Tensor,
    coarse: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, A, r and C."""
    geometry = _geometry(stride, padding, dilation, groups)
    gradient = gradient.contiguous(memory_format=_LAST)
    return grouped.two_level_backward(gradient, x, z, weight, restriction, coarse, geometry)


@group_conv.register_fake
def _(x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Tensor:
    return _like_y(x, weight, _geometry(stride, padding, dilation, groups))


@two_level_conv.register_fake
def _(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    y = _like_y(x, weight, _geometry(stride, padding, dilation, groups))
    return y, new_image(y, grouped.stored_coarse_channels(weight, restriction, groups), y.shape[2:])


@group_conv_backward.register_fake
def _(gradient: Tensor, x: Tensor, weight: Tensor, *geometry: Any) -> tuple[Tensor, Tensor]:
    return new_image(x, x.shape[1], x.shape[2:]), torch.empty_like(weight)


@two_level_conv_backward.register_fake
def _(
    gradient: Tensor, x: Tensor, z: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, *geometry: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    parameters = torch.empty_like(weight), torch.empty_like(restriction), torch.empty_like(coarse)
    return new_image(x, x.shape[1], x.shape[2:]), *parameters


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """The tensors among an operator's inputs, then z if there is one; and its geometry."""
    *tensors, stride, padding, dilation, groups = inputs
    ctx.save_for_backward(*tensors, *output[1:]) if isinstance(output, tuple) else ctx.save_for_backward(*tensors)
    ctx.settings = stride, padding, dilation, groups
    ctx.set_materialize_grads(True)


def _group_gradients(ctx: Any, gradient: Tensor) -> Any:
    x, weight, bias = ctx.saved_tensors
    if torch.is_grad_enabled():
        geometry = _geometry(*ctx.settings)
        return *formula_gradients(reference.group, (x, weight, bias), geometry, gradient), *[None] * 4
    bias_gradient = None if bias is None else pixels(gradient).sum(0)
    return *group_conv_backward(gradient, x, weight, *ctx.settings), bias_gradient, *[None] * 4


def _two_level_gradients(ctx: Any, gradient: Tensor, of_z: Tensor) -> Any:
    *inputs, z = ctx.saved_tensors
    x, weight, restriction, coarse, bias = inputs
    if torch.is_grad_enabled():
        return *formula_gradients(reference.two_level, inputs, _geometry(*ctx.settings), gradient), *[None] * 4
    bias_gradient = None if bias is None else pixels(gradient).sum(0)
    found = two_level_conv_backward(gradient, x, z, weight, restriction, coarse, *ctx.settings)
    return *found, bias_gradient, *[None] * 4


group_conv.register_autograd(_group_gradients, setup_context=_save)
two_level_conv.register_autograd(_two_level_gradients, setup_context=_save)


def settings(to: Geometry) -> tuple[list[int], list[int], list[int], int]:
    """The last arguments of the operators."""
    return list(to.stride), list(to.padding), list(to.dilation), to.groups


def _geometry(stride: Any, padding: Any, dilation: Any, groups: int) -> Geometry:
    return Geometry(tuple(stride), tuple(padding), tuple(dilation), groups)


def _like_y(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    size = geometry.output_size((x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]))
    return new_image(x, len(weight), size)
