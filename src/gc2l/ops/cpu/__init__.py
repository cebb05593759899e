"""The coarse level on the CPU: one pass over memory each in C (`compiled`), and by the framework (`framework`).

Images x are channels last. What belongs to outputs is a matrix with a row for each of the P = N H' W' pixels: y
(P, c_out), z (P, n m). Weights: A (c_out, c_in/n, k_h, k_w), r (n m, c_in/n, k_h, k_w), C (c_out, n m).
"""

from types import ModuleType

from torch import Tensor

from gc2l.ops.cpu import compiled, framework


def coarse_level(x: Tensor, weight: Tensor, coarse_channels: int) -> ModuleType:
    """`compiled` where it can be used for x, channels last, and n m = `coarse_channels`; else `framework`.

    The two have the same functions: `restrict`, `add_coarse`, `split_fused`, `coarse_gradients`, `fused_gradients`,
    `restrict_backward`.
    """
    return compiled if compiled.can_use(x, weight, coarse_channels) else framework
