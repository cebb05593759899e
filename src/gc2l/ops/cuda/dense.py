"""The dense weight that a layer equals, by one Triton kernel each way, in the convolution's own type."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from gc2l.ops.autograd import formula_gradients
from gc2l.ops.cuda import serve
from gc2l.ops.cuda.guard import guarded
from gc2l.ops.memory_format import is_channels_last
from gc2l.ops.transforms import gradient_needs_formula, needs_formula
from gc2l.ops.weights import block_diagonal, folded_weight


def can_fold(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernels can fold `weight` for x; where they cannot on a card, the log says why."""
    if not x.is_cuda or needs_formula():
        return False
    reason = serve.obstacle_of_device(x, weight)
    if reason is not None:
        serve.report(reason)
    return reason is None and weight.is_floating_point()


def fold(x: Tensor, weight: Tensor, restriction: Tensor | None, coarse: Tensor | None, groups: int) -> Tensor:
    """The weight (c_out, c_in, k_h, k_w) for the convolution of x, in its type and memory order, differentiable.

    Args:
        x: (N, c_in, H, W).
        weight: A (c_out, c_in/n, k_h, k_w).
        restriction: r (n m, c_in/n, k_h, k_w), or None for group convolution.
        coarse: C (c_out, n m, 1, 1), or None.
        groups: n.
    """
    autocast = torch.is_autocast_enabled(x.device.type)
    dtype = torch.get_autocast_dtype(x.device.type) if autocast else weight.dtype
    return _DenseWeight.apply(weight, restriction, coarse, groups, dtype, is_channels_last(x))


class _DenseWeight(Function):
    """Arguments: A, r, C, n, the type, and whether to store channels last."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        restriction: Tensor | None,
        coarse: Tensor | None,
        groups: int,
        dtype: torch.dtype,
        last: bool,
    ) -> Tensor:
        ctx.save_for_backward(weight, restriction, coarse)
        ctx.groups, ctx.dtype = groups, dtype

        def ours() -> tuple[Tensor]:
            from gc2l.ops.cuda import folding  # noqa: PLC0415  (needs Triton)

            return (folding.dense_weight(weight, restriction, coarse, groups, dtype, last=last),)

        def formula(dtype: torch.dtype) -> tuple[Tensor]:
            return (_formula(dtype)(weight, restriction, coarse, groups),)

        return guarded("the folding kernel", _key(weight, restriction, groups, dtype), dtype, ours, formula)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weight, restriction, coarse = ctx.saved_tensors
        groups, dtype = ctx.groups, ctx.dtype
        if torch.is_grad_enabled() or gradient_needs_formula(gradient):
            found = formula_gradients(_formula(dtype), (weight, restriction, coarse), groups, gradient)
            return *found, None, None, None

        def ours() -> tuple[Tensor | None, ...]:
            from gc2l.ops.cuda import folding  # noqa: PLC0415

            return folding.dense_weight_backward(gradient, weight, restriction, coarse, groups)

        def formula(dtype: torch.dtype) -> tuple[Tensor | None, ...]:
            with torch.enable_grad():
                leaves = [None if one is None else one.detach().requires_grad_() for one in ctx.saved_tensors]
                return formula_gradients(_formula(dtype), leaves, groups, gradient.to(dtype))

        key = _key(weight, restriction, groups, dtype)
        return *guarded("the backward kernel of folding", key, dtype, ours, formula), None, None, None


def _formula(dtype: torch.dtype) -> Callable[..., Tensor]:
    def formula(weight: Tensor, restriction: Tensor | None, coarse: Tensor | None, groups: int) -> Tensor:
        if restriction is None or coarse is None:
            return block_diagonal(weight.to(dtype), groups)
        return folded_weight(weight.to(dtype), restriction.to(dtype), coarse.to(dtype), groups)

    return formula


def _key(weight: Tensor, restriction: Tensor | None, groups: int, dtype: torch.dtype) -> tuple[Any, ...]:
    return tuple(weight.shape), None if restriction is None else len(restriction), groups, dtype
