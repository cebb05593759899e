"""The weights of a layer rearranged into those of another convolution: block diagonal, fused, or folded into one.

`weight` is A, `restriction` r and `coarse` C, shaped as in `gc2l.ops.reference`.
"""

import torch
from torch import Tensor


def block_diagonal(weight: Tensor, groups: int) -> Tensor:
    """The dense weight (c, c_in, k_h, k_w) of a grouped one (c, c_in/n, k_h, k_w)."""
    c, own, k_h, k_w = weight.shape
    dense = weight.new_zeros(groups, c // groups, groups, own, k_h, k_w)
    # view and permute: for a small layer unflatten and movedim take longer than the copy.
    dense.diagonal(dim1=0, dim2=2).copy_(weight.view(groups, c // groups, own, k_h, k_w).permute(1, 2, 3, 4, 0))
    return dense.view(c, groups * own, k_h, k_w)


def diagonal_blocks(dense: Tensor, groups: int) -> Tensor:
    """The blocks (c, c_in/n, k_h, k_w) on the diagonal of a dense weight (c, c_in, k_h, k_w)."""
    blocks = dense.unflatten(1, (groups, -1)).unflatten(0, (groups, -1))  # (n, c/n, n, c_in/n, k_h, k_w)
    return blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0).flatten(0, 1)


def fused_weight(weight: Tensor, restriction: Tensor, groups: int) -> Tensor:
    """A_j and r_j below each other: (c_out + n m, c_in/n, k_h, k_w)."""
    # Four dimensions throughout: with more, the memory format would be lost and have to be restored by copies.
    pairs = zip(weight.chunk(groups), restriction.chunk(groups), strict=True)
    return torch.cat([block for pair in pairs for block in pair])


def split_fused_weight(fused: Tensor, c_out: int, groups: int) -> tuple[Tensor, Tensor]:
    """A (c_out, ...) and r (n m, ...) from `fused_weight` (c_out + n m, ...)."""
    fine, m = c_out // groups, (len(fused) - c_out) // groups
    blocks = fused.split([fine, m] * groups)
    return torch.cat(blocks[::2]), torch.cat(blocks[1::2])


def folded_weight(weight: Tensor, restriction: Tensor, coarse: Tensor, groups: int) -> Tensor:
    """The dense weight (c_out, c_in, k_h, k_w) with the blocks delta_ij A_j + C_j[:, i] r_i."""
    c_out, own, k_h, k_w = weight.shape
    r = restriction.view(groups, -1, own, k_h, k_w)
    c = coarse.reshape(c_out, groups, -1)  # (c_out, n, m)
    # For m = 1 a plain product is enough: folding should cost nothing beside the convolution.
    dense = c[..., None, None] * r[:, 0] if c.shape[2] == 1 else torch.einsum("ogm,gmihw->ogihw", c, r)
    diagonal = dense.view(groups, -1, groups, own, k_h, k_w).diagonal(dim1=0, dim2=2)
    diagonal.add_(weight.view(groups, -1, own, k_h, k_w).permute(1, 2, 3, 4, 0))
    dense = dense.flatten(1, 2)
    # PyTorch refuses the gradient of one filter with a product's strides: findings/torch_conv_one_filter_strides.sh.
    return dense.clone(memory_format=torch.contiguous_format) if c_out == 1 else dense


def channel_means(restriction: Tensor) -> Tensor:
    """Filters of the shape of r (n m, c_in/n, k_h, k_w) that give the mean of the channels at the kernel's middle."""
    filters = torch.zeros_like(restriction)
    _, channels, k_h, k_w = filters.shape
    filters[:, :, k_h // 2, k_w // 2] = 1 / channels
    return filters
