"""Hand-written forward and backward passes as functions of PyTorch's autograd.

A way of computing a convolution is two plain functions; the two classes here add what all ways share: the bias's
gradient, second derivatives, and gradients that are stored channels last.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from gc2l.ops import reference
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import pixels
from gc2l.ops.transforms import gradient_needs_formula


class GroupWay(NamedTuple):
    """One way of computing group convolution for x and gradients stored channels last.

    Attributes:
        forward: y (N, c_out, H', W'), no view, from (x, weight, bias, geometry).
        backward: the gradients of x and weight from (gradient of y, x, weight, geometry, which of the two are wanted).
            For those that are not wanted it may give None.
    """

    forward: Callable[..., Tensor]
    backward: Callable[..., tuple[Tensor | None, Tensor | None]]


class TwoLevelWay(NamedTuple):
    """One way of computing two-level group convolution for x and gradients stored channels last.

    Attributes:
        forward: y (N, c_out, H', W'), no view, and what `backward` gets as z, from (x, weight, restriction, coarse,
            bias, geometry).
        backward: the gradients of x, weight, restriction and coarse from (gradient of y, x, z, weight, restriction,
            coarse, geometry, which of the four are wanted). For those that are not wanted it may give None.
    """

    forward: Callable[..., tuple[Tensor, Tensor]]
    backward: Callable[..., tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]]


class GroupConvolution(Function):
    """y = A x + b; arguments: a `GroupWay`, x, weight, bias, geometry."""

    @staticmethod
    def forward(ctx: Any, way: GroupWay, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """Compute y (N, c_out, H', W')."""
        ctx.save_for_backward(x, weight, bias)
        ctx.way, ctx.geometry = way, geometry
        return way.forward(x, weight, bias, geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of x, weight and bias."""
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled() or gradient_needs_formula(gradient):
            return None, *formula_gradients(reference.group, (x, weight, bias), ctx.geometry, gradient), None
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        _, *wanted, of_bias, _ = ctx.needs_input_grad
        bias_gradient = pixels(gradient).sum(0) if of_bias else None
        found = ctx.way.backward(gradient, x, weight, ctx.geometry, wanted) if any(wanted) else (None, None)
        return None, *found, bias_gradient, None


class TwoLevelConvolution(Function):
    """y = A x + C r x + b; arguments: a `TwoLevelWay`, x, weight, restriction, coarse, bias, geometry."""

    @staticmethod
    def forward(
        ctx: Any,
        way: TwoLevelWay,
        x: Tensor,
        weight: Tensor,
        restriction: Tensor,
        coarse: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
    ) -> Tensor:
        """Compute y (N, c_out, H', W')."""
        y, z = way.forward(x, weight, restriction, coarse, bias, geometry)
        ctx.save_for_backward(x, weight, restriction, coarse, bias, z)
        ctx.way, ctx.geometry = way, geometry
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of the five tensors."""
        *inputs, z = ctx.saved_tensors
        x, weight, restriction, coarse, _ = inputs
        if torch.is_grad_enabled() or gradient_needs_formula(gradient):
            return None, *formula_gradients(reference.two_level, inputs, ctx.geometry, gradient), None
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        _, *wanted, of_bias, _ = ctx.needs_input_grad
        bias_gradient = pixels(gradient).sum(0) if of_bias else None
        given = (gradient, x, z, weight, restriction, coarse, ctx.geometry, wanted)
        found = ctx.way.backward(*given) if any(wanted) else [None] * 4
        return None, *found, bias_gradient, None


def formula_gradients(
    formula: Callable[..., Tensor], inputs: Sequence[Tensor | None], geometry: Geometry | int, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of `formula(*inputs, geometry)`, None where none is needed. In grad mode they can be differentiated.

    The formula gets everything in the type of the first input, as ways that cast the weights themselves do.
    """
    wanted = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
    dtype = next(tensor.dtype for tensor in inputs if tensor is not None)
    with torch.enable_grad():
        y = formula(*(None if tensor is None else tensor.to(dtype) for tensor in inputs), geometry)
    found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=torch.is_grad_enabled()))
    return tuple(next(found) if tensor is not None and tensor.requires_grad else None for tensor in inputs)
