"""A kernel's result, or the formula's where Triton fails; with GC2L_CHECK=1 compared with the formula in float64."""

import os
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from gc2l.ops.cuda import serve

# Errors, in norm, that a correct kernel stays well below: a few roundings of each type, and tf32's of float32.
_TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 4e-3, torch.float32: 4e-3}
_failed: set[Hashable] = set()
_checked: set[Hashable] = set()


def has_failed(key: Hashable) -> bool:
    """Whether a kernel for `key` could not be compiled or launched before."""
    return key in _failed


def guarded(
    kernel: str, key: Hashable, dtype: torch.dtype, ours: Callable[[], Any], formula: Callable[[torch.dtype], Any]
) -> Any:
    """What `ours` computes, or, where Triton fails, `formula` in `dtype`.

    Args:
        kernel: a name for messages.
        key: one configuration; after a failure `has_failed(key)`.
        dtype: of the kernel's numbers.
        ours: launches the kernel.
        formula: computes the same results in a given type, None where there is nothing to compare.

    Raises:
        RuntimeError: with GC2L_CHECK=1, if the results are further apart than rounding can explain.
    """
    from triton.errors import TritonError  # noqa: PLC0415  (only where it is installed)

    try:
        found = ours()
    except (TritonError, RuntimeError) as error:
        # The compiler's own passes fail with a RuntimeError, but so does a card that has no memory left.
        if not isinstance(error, TritonError) and "PassManager" not in str(error):
            raise
        _failed.add(key)
        serve.report(f"{kernel} failed with {type(error).__name__}: {str(error).strip()}")
        return formula(dtype)
    if os.environ.get("GC2L_CHECK") == "1" and (kernel, key) not in _checked:
        for result, wanted in zip(found, formula(torch.float64), strict=False):
            if result is not None and wanted is not None:
                _compare(result, wanted, _TOLERANCE[dtype], f"{kernel} {key}")
        _checked.add((kernel, key))
    return found


def _compare(found: Tensor, wanted: Tensor, tolerance: float, name: str) -> None:
    finite = wanted.isfinite() & found.isfinite()
    difference = torch.where(finite, found.double() - wanted.double(), 0).norm()
    bound = tolerance * torch.where(finite, wanted.double(), 0).norm()
    if difference > bound or not torch.equal(found.isnan(), wanted.isnan()):
        raise RuntimeError(
            f"GC2L_CHECK=1: {name} is wrong: in norm it is {difference:.3g} from the formula in float64, and rounding "
            f"explains {bound:.3g}. Please report it; algorithm='grouped' or 'separate' does without the kernels."
        )
