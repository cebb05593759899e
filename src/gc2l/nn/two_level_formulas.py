"""Equation 3.5, y_j = A_j x_j + C_j z with z_i = r_i x_i, written in four ways that give the same numbers.

Each takes (x, weight, restriction, coarse, bias, geometry), the tensors shaped as in `TwoLevelGroupConv2d`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.nn.blocks import block_diagonal
from gc2l.nn.geometry import Geometry
from gc2l.nn.pointwise import dense_product


def separate(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, to: Geometry
) -> Tensor:
    """The equation as it stands."""
    z = to.convolve(x, restriction, None)  # (N, n m, H', W')
    return to.convolve(x, weight, bias) + F.conv2d(z, coarse)


def dense_restriction(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, to: Geometry
) -> Tensor:
    """r as one standard convolution c_in -> n m with zeros between the groups."""
    z = to.convolve(x, block_diagonal(restriction, to.groups), None, groups=1)  # (N, n m, H', W')
    return to.convolve(x, weight, bias) + F.conv2d(z, coarse)


def fused(x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, to: Geometry) -> Tensor:
    """A_j and r_j as one group convolution, whose output is split (the paper's, section 3.2)."""
    fine = len(weight) // to.groups
    both = to.convolve(x, fused_weight(weight, restriction, to.groups), None)
    both = both.unflatten(-3, (to.groups, -1))  # (N, n, c_out/n + m, H', W')
    y, z = both[..., :fine, :, :].flatten(-4, -3), both[..., fine:, :, :].flatten(-4, -3)
    return y + F.conv2d(z, coarse, bias)


def folded(x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, to: Geometry) -> Tensor:
    """One standard convolution with the weight that the layer equals."""
    return dense_product(x, folded_weight(weight, restriction, coarse, to.groups), bias, to)


def fused_weight(weight: Tensor, restriction: Tensor, groups: int) -> Tensor:
    """A_j and r_j below each other: (c_out + n m, c_in/n, k_h, k_w)."""
    # Four dimensions throughout: with more, the memory format would be lost, and restored by further copies.
    pairs = zip(weight.chunk(groups), restriction.chunk(groups), strict=True)
    return torch.cat([part for pair in pairs for part in pair])


def fused_parts(both: Tensor, fine: int, m: int) -> tuple[Tensor, Tensor]:
    """The reverse: A (c_out, ...) and r (n m, ...) from both (n (fine + m), ...)."""
    parts = both.split([fine, m] * (len(both) // (fine + m)))
    return torch.cat(parts[::2]), torch.cat(parts[1::2])


def folded_weight(weight: Tensor, restriction: Tensor, coarse: Tensor, groups: int) -> Tensor:
    """dense[j, i] = delta_ij A_j + C_j[:, i] r_i, (c_out, c_in, k_h, k_w)."""
    c_out, own, k_h, k_w = weight.shape
    r = restriction.view(groups, -1, own, k_h, k_w)
    c = coarse.reshape(c_out, groups, -1)  # (c_out, n, m)
    # A plain product where one is enough: folding should cost nothing beside the convolution.
    correction = c[..., None, None] * r[:, 0] if c.shape[2] == 1 else torch.einsum("ogm,gmihw->ogihw", c, r)
    diagonal = correction.view(groups, -1, groups, own, k_h, k_w).diagonal(dim1=0, dim2=2)
    diagonal.add_(weight.view(groups, -1, own, k_h, k_w).permute(1, 2, 3, 4, 0))
    return correction.flatten(1, 2)


FORMULAS = {"separate": separate, "fused": fused, "dense_restriction": dense_restriction, "folded": folded}
