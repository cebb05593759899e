"""The two-level group convolution that comes nearest to a standard convolution.

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
(m + 1)-th on, and the truncated singular value decomposition attains it. `gc2l.analysis` computes that error.

Two facts follow. GC's error cannot fall when n doubles, since the groups of 2n refine those of n. GC-2L's cannot
exceed GC's at the same n (C = 0).
"""

import torch
from torch import Tensor

from gc2l.ops.weights import diagonal_blocks


def nearest_coarse_weight(dense: Tensor, restriction: Tensor) -> Tensor:
    """C of the two-level group convolution that comes nearest to a dense weight, where r is given and m = 1.

    Then C[:, i] r_i is, row by row, the projection of the other rows of block column i on r_i. C_i[:, i] = 0.

    Args:
        dense: (c_out, c_in, k_h, k_w).
        restriction: r (n, c_in/n, k_h, k_w), no row of it zero.

    Returns:
        C (c_out, n, 1, 1), in the type of `dense`.
    """
    groups, c_out = len(restriction), len(dense)
    exact = torch.promote_types(dense.dtype, torch.float32)
    rows = restriction.to(exact).flatten(1)  # (n, c_in/n k_h k_w)
    columns = dense.to(exact).reshape(c_out, *rows.shape)
    coarse = (columns * rows).sum(2) / rows.square().sum(1)  # (c_out, n)
    for i, own in enumerate(coarse.chunk(groups)):
        own[:, i] = 0
    return coarse[:, :, None, None].to(dense.dtype)


def nearest_two_level(dense: Tensor, groups: int, coarse_channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """A, r and C of the nearest two-level group convolution to a dense weight.

    Of the solutions it is the one with C_i[:, i] = 0, so that A holds the diagonal blocks, and with r and C of equal
    norms for each singular value. Where the rows have fewer singular values than m, or some that are 0, C is 0 and the
    rows of r are of length 1, so that they can learn.

    Args:
        dense: (c_out, c_in, k_h, k_w).
        groups: n >= 2.
        coarse_channels: m.

    Returns:
        A (c_out, c_in/n, k_h, k_w), r (n m, c_in/n, k_h, k_w), C (c_out, n m, 1, 1), in the type of `dense`.
    """
    c_out, c_in, k_h, k_w = dense.shape
    fine, own = c_out // groups, c_in // groups
    exact = dense.to(torch.promote_types(dense.dtype, torch.float32))
    columns = exact.reshape(c_out, groups, own * k_h * k_w).transpose(0, 1)  # (n, c_out, c_in/n k_h k_w)
    rows = torch.arange(c_out, device=dense.device)
    others = torch.stack([torch.cat([rows[: i * fine], rows[(i + 1) * fine :]]) for i in range(groups)])
    u, values, v = torch.linalg.svd(torch.stack([columns[i, others[i]] for i in range(groups)]), full_matrices=False)
    rank = min(coarse_channels, values.shape[1])
    values = values[:, :rank]  # (n, rank)
    root = torch.where(values > 0, values.sqrt(), 1)
    restriction = torch.eye(coarse_channels, own * k_h * k_w, dtype=exact.dtype, device=dense.device)
    restriction = restriction.repeat(groups, 1, 1)  # (n, m, c_in/n k_h k_w)
    restriction[:, :rank] = root[:, :, None] * v[:, :rank]
    coarse = exact.new_zeros(c_out, groups, coarse_channels)
    for i in range(groups):
        coarse[others[i], i, :rank] = u[i, :, :rank] * (values[i] / root[i])
    return (
        diagonal_blocks(dense, groups),
        restriction.view(-1, own, k_h, k_w).to(dense.dtype),
        coarse.view(c_out, -1, 1, 1).to(dense.dtype),
    )
