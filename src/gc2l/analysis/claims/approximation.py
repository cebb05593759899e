"""How well group convolutions approximate a given standard convolution: best approximations of its weight.

`gc2l.ops.nearest` has the derivation, and the layers that attain these errors.
"""

import numpy as np
from numpy.typing import ArrayLike


def approximation_errors(weight: ArrayLike, groups: int, coarse_channels: int = 1) -> tuple[float, float]:
    """The smallest relative squared errors with which GC and GC-2L approximate a standard convolution.

    Args:
        weight: (c_out, c_in, k_h, k_w), the dense weight.
        groups: n, consecutive channels.
        coarse_channels: m.

    Returns:
        The squared Frobenius errors of the best GC and the best GC-2L, divided by the squared norm of the weight.

    Raises:
        ValueError: a weight that is not four-dimensional, not finite or zero; groups that does not divide both
            channel counts; coarse_channels < 1.
    """
    dense = np.asarray(weight, dtype=np.float64)
    if dense.ndim != 4:
        raise ValueError(f"weight has the shape {dense.shape}, it must be (c_out, c_in, k_h, k_w)")
    c_out, c_in = dense.shape[:2]
    if groups < 1 or c_out % groups or c_in % groups:
        raise ValueError(f"groups={groups} must be a divisor of c_out={c_out} and c_in={c_in}")
    if coarse_channels < 1:
        raise ValueError(f"coarse_channels={coarse_channels} must be at least 1")
    norm = float(np.square(dense).sum())
    if not 0 < norm < np.inf:
        raise ValueError(f"the squared norm of weight is {norm}, it must be positive and finite")
    group = two_level = 0.0
    for i, column in enumerate(np.split(dense.reshape(c_out, -1), groups, axis=1)):  # (c_out, c_in/n k_h k_w)
        own = slice(i * c_out // groups, (i + 1) * c_out // groups)
        others = np.delete(column, own, axis=0)  # (c_out - c_out/n, c_in/n k_h k_w)
        squares = np.square(np.linalg.svd(others, compute_uv=False))  # descending
        group += float(squares.sum())
        two_level += float(squares[coarse_channels:].sum())
    return group / norm, two_level / norm
