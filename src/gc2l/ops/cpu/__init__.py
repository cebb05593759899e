"""The coarse level on the CPU: by the framework (`framework`), in C (`compiled`), and on matrix units (`matrix_units`).

Images x are channels last. What belongs to outputs is a matrix with a row for each of the P = N H' W' pixels: y
(P, c_out), z (P, n m). Weights: A (c_out, c_in/n, k_h, k_w), r (n m, c_in/n, k_h, k_w), C (c_out, n m).
"""

from types import ModuleType

import torch
from torch import Tensor

from gc2l.ops.cpu import compiled, framework, matrix_units


def coarse_level(x: Tensor, weight: Tensor, coarse_channels: int) -> ModuleType:
    """The fastest of the three that can be used for x, channels last, and n m = `coarse_channels`.

    They have the same functions: `restrict`, `add_coarse`, `split_fused`, `coarse_gradients`, `fused_gradients`,
    `restrict_backward`.
    """
    if not compiled.can_use(x, weight, coarse_channels):
        return framework
    return matrix_units if x.dtype is torch.bfloat16 and matrix_units.available() else compiled
