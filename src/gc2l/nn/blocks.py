"""Block-diagonal weights: from one block for each group to the dense weight, and back."""

from torch import Tensor


def block_diagonal(weight: Tensor, groups: int) -> Tensor:
    """The dense weight (c, c_in, k_h, k_w) of a grouped one (c, c_in/n, k_h, k_w)."""
    c, own, k_h, k_w = weight.shape
    dense = weight.new_zeros(groups, c // groups, groups, own, k_h, k_w)
    # view and permute, as unflatten and movedim take longer than the copy when the layer is small.
    dense.diagonal(dim1=0, dim2=2).copy_(weight.view(groups, c // groups, own, k_h, k_w).permute(1, 2, 3, 4, 0))
    return dense.view(c, groups * own, k_h, k_w)


def diagonal_blocks(dense: Tensor, groups: int) -> Tensor:
    """The blocks (c, c_in/n, k_h, k_w) on the diagonal of a dense weight (c, c_in, k_h, k_w)."""
    blocks = dense.unflatten(1, (groups, -1)).unflatten(0, (groups, -1))  # (n, c/n, n, c_in/n, k_h, k_w)
    return blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0).flatten(0, 1)
