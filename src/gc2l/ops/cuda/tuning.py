"""Tile sizes of the kernels: a short list each, timed once for a shape on a card, and kept.

Triton stores the times beside its compiled code (`TRITON_CACHE_DIR`), under the kernel's source, its own version and
the key below, which has the card in it. From the second run on the choice is read, so that runs compute the same
numbers; remove that folder, or let two runs time a shape at the same moment, and they may choose differently. The
number of images is no part of the key.
"""

from contextlib import nullcontext
from typing import Any

import torch
import triton
from torch import Tensor

from gc2l.ops.cuda import convolution
from gc2l.ops.cuda import weight_gradient as gradient

_SHAPE = ["in_h", "in_w", "in_units", "out_units", "groups", "K_H", "K_W", "STRIDE_H", "COARSE", "PRECISION", "CARD"]


def _configurations(names: tuple[str, ...], *rows: tuple[int, ...]) -> list[triton.Config]:
    """Each row: the sizes of `names`, then warps and stages."""
    return [
        triton.Config(dict(zip(names, sizes, strict=True)), num_warps=warps, num_stages=stages)
        for *sizes, warps, stages in rows
    ]


CONVOLVE = _configurations(
    ("BLOCK_M", "BLOCK_V", "BLOCK_K"),
    (128, 64, 64, 4, 3),
    (128, 32, 64, 4, 4),
    (128, 128, 64, 8, 3),
    (64, 64, 64, 4, 4),
    (256, 64, 32, 8, 3),
)
WEIGHT_GRADIENT = _configurations(
    ("BLOCK_Q", "BLOCK_V", "BLOCK_P"),
    (128, 64, 64, 4, 3),
    (64, 64, 64, 4, 4),
    (128, 32, 64, 4, 4),
    (128, 128, 64, 8, 3),
)
EXACT = {"BLOCK_M": 64, "BLOCK_V": 32, "BLOCK_K": 32, "num_warps": 4, "num_stages": 2}
INTERPRETED: dict[str, Any] = {"BLOCK_M": 128, "BLOCK_V": 64, "BLOCK_K": 256, "BLOCK_Q": 256, "BLOCK_P": 128}

convolve = triton.autotune(CONVOLVE, key=[*_SHAPE, "TRANSPOSED"], cache_results=True)(convolution.convolve)
weight_gradient = triton.autotune(WEIGHT_GRADIENT, key=_SHAPE, cache_results=True)(gradient.weight_gradient)

recorded: list[tuple[Any, dict[str, Any]]] | None = None  # a list takes launches, with their arguments, in their place


def launch(kernel: Any, grid: Any, first: Tensor, *others: Any, **constants: Any) -> None:
    """Launch a kernel where its first argument is; with a list of tile sizes, the grid is a function of them."""
    arguments = (first, *others)
    if recorded is not None:
        recorded.append((kernel, dict(zip(kernel.arg_names, arguments, strict=False)) | constants))
        return
    if isinstance(kernel, triton.runtime.Autotuner) and triton.knobs.runtime.interpret:  # which has no times
        sizes = {name: INTERPRETED[name] for name in kernel.configs[0].kwargs}
        kernel, grid, constants = kernel.fn, grid(sizes), constants | sizes
    with torch.cuda.device(first.device) if first.is_cuda else nullcontext():
        kernel[grid](*arguments, **constants)
