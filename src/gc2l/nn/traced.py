"""Whether plain, differentiable formulas are wanted in place of hand-written backward passes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


def wants_formula() -> bool:
    """Whether someone looks into the computation: compilers, export, `torch.func`, or forward-mode derivatives.

    A hand-written backward pass serves only ordinary backpropagation; compilers and transforms do better with, or
    need, the formula itself.
    """
    compiling = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return compiling or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def is_watched(*tensors: Tensor) -> bool:
    """Whether a tensor or a mode wants to see every operation, which compiled code of our own would hide from it."""
    plain = all(type(tensor) in (Tensor, torch.nn.Parameter) for tensor in tensors)
    return not plain or torch._C._len_torch_dispatch_stack() > 0


def autocast(x: Tensor, *weights: Tensor | None) -> tuple[Any, ...]:
    """The tensors in the type that autocast wants for convolutions; unchanged where it is off."""
    if not torch.is_autocast_enabled(x.device.type):
        return x, *weights
    dtype = torch.get_autocast_dtype(x.device.type)
    return tuple(tensor if tensor is None else tensor.to(dtype) for tensor in (x, *weights))


def formula_gradients(
    formula: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of `formula(*inputs)` that can be differentiated again, None for what needs no gradient."""
    wanted = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
    found = iter(torch.autograd.grad(formula(*inputs), wanted, gradient, create_graph=True))
    return tuple(next(found) if tensor is not None and tensor.requires_grad else None for tensor in inputs)
