"""What PyTorch is doing around an operator: autocast, and transforms that need its plain, differentiable formula."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


def needs_formula() -> bool:
    """Whether a compiler, export, `make_fx`, `torch.func` or forward-mode differentiation is at work.

    A hand-written backward pass serves only ordinary backpropagation. Compilers do better with the formula itself, and
    transforms need it. A graph of a hand-written forward pass, which writes to its results, could not be run where
    gradients are recorded.
    """
    compiling = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return compiling or in_torch_func() or forward_ad._current_level >= 0 or _in_make_fx()


def _in_make_fx() -> bool:
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None


def in_torch_func() -> bool:
    """Whether a transform of `torch.func` is at work; under `vmap` a tensor cannot be asked how it is stored."""
    return torch._C._are_functorch_transforms_active()


def gradient_needs_formula(gradient: Tensor) -> bool:
    """Whether a first-order backward pass needs the formula: in a transform, and for several gradients at once.

    These are one tensor of the shape of each, as of `torch.autograd.grad(..., is_grads_batched=True)`.
    """
    return needs_formula() or torch._C._functorch.is_legacy_batchedtensor(gradient)


def compiles_for_card(x: Tensor) -> bool:
    """Whether `torch.compile` (no export, no transform inside) is at work on a computation on a CUDA card.

    There a formula has to be fast, too: the plain one takes the framework's grouped kernels.
    """
    compiling = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
    return compiling and x.device.type == "cuda" and not in_torch_func()


def is_observed(*tensors: Tensor) -> bool:
    """Whether a tensor subclass or a dispatch mode has to see every operation, which compiled code would bypass."""
    plain = all(type(tensor) in (Tensor, torch.nn.Parameter) for tensor in tensors)
    return not plain or torch._C._len_torch_dispatch_stack() > 0


def autocast(x: Tensor, *weights: Tensor | None) -> tuple[Any, ...]:
    """The tensors in the type that autocast uses for convolutions; unchanged where it is off."""
    if not torch.is_autocast_enabled(x.device.type):
        return x, *weights
    dtype = torch.get_autocast_dtype(x.device.type)
    return tuple(
        tensor.to(dtype) if tensor is not None and is_cast(tensor.dtype) else tensor for tensor in (x, *weights)
    )


def is_cast(dtype: torch.dtype) -> bool:
    """Whether autocast changes tensors of this type: it leaves float64 and complex numbers alone."""
    return dtype.is_floating_point and dtype is not torch.float64
