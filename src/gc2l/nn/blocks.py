"""Block-diagonal weights: from one block for each group to the dense weight, and back."""

import torch
from torch import Tensor


def block_diagonal(weight: Tensor, groups: int) -> Tensor:
    """The dense weight (c, c_in, k_h, k_w) of a grouped one (c, c_in/n, k_h, k_w)."""
    blocks = weight.unflatten(0, (groups, -1))  # (n, c/n, c_in/n, k_h, k_w)
    identity = torch.eye(groups, device=weight.device, dtype=weight.dtype)
    diagonal = torch.einsum("noihw,nj->nojihw", blocks, identity)  # (n, c/n, n, c_in/n, k_h, k_w)
    return diagonal.flatten(2, 3).flatten(0, 1)


def diagonal_blocks(dense: Tensor, groups: int) -> Tensor:
    """The blocks (c, c_in/n, k_h, k_w) on the diagonal of a dense weight (c, c_in, k_h, k_w)."""
    blocks = dense.unflatten(1, (groups, -1)).unflatten(0, (groups, -1))  # (n, c/n, n, c_in/n, k_h, k_w)
    return blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0).flatten(0, 1)
