"""How well group convolutions can stand for a given standard convolution: best approximations of its weight.

Write the dense weight as an n x n block matrix, block (j, i) of shape (c_out/n, c_in/n k_h k_w): output group j,
input group i, one column for each input channel and tap. Distances are Frobenius norms of the weight; for input whose
channels and pixels are uncorrelated with variance 1 that is the mean square error of one output pixel, summed over
the output channels.

GC has the blocks delta_ij A_j with free A_j. Its best choice copies the diagonal blocks, and the squared error is the
mass of all others.

GC-2L with m coarse channels a group has the blocks delta_ij A_j + C_j[:, i] r_i (eq. 3.5), where r_i has m rows and
C_j[:, i] m columns. Different i share no parameter, so each block column W_i (c_out rows) is a problem of its own:
its model is C[:, i] r_i, any matrix of rank at most m, plus A_i in the rows of group i. Whatever C[:, i] r_i is in
these rows, A_i = W_ii - C_i[:, i] r_i makes their error 0, and it changes no other row. Hence the minimum is that of
the other c_out - c_out/n rows alone, which C[:, i] r_i can make any matrix of rank at most m. By the theorem of
Eckart, Young and Mirsky the smallest squared error is the sum of the squared singular values of those rows from the
(m + 1)-th on, and the truncated singular value decomposition attains it.

Two facts follow. GC's error cannot fall when n doubles, since the groups of 2n refine those of n. GC-2L's cannot
exceed GC's at the same n (C = 0).
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
