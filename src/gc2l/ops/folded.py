"""Every layer as the one standard convolution that it equals."""

from torch import Tensor

from gc2l.ops import matrix_products
from gc2l.ops.choose import choose_dense
from gc2l.ops.cuda.dense import can_fold, fold
from gc2l.ops.geometry import Geometry
from gc2l.ops.weights import block_diagonal, folded_weight


def dense(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """The standard convolution with weight (c_out, c_in, k_h, k_w); the geometry's groups do not matter."""
    if choose_dense(x, weight, geometry) == "matmul":
        return matrix_products.group(x, weight, bias, Geometry())
    return geometry.convolve(x, weight, bias, groups=1)


def group(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Group convolution with its weight as a block-diagonal dense one."""
    return dense(x, block_diagonal_for(x, weight, geometry.groups), bias, geometry)


def two_level(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> Tensor:
    """Two-level group convolution with the dense weight of the blocks delta_ij A_j + C_j[:, i] r_i."""
    if can_fold(x, weight):
        folded = fold(x, weight, restriction, coarse, geometry.groups)
    else:
        folded = folded_weight(weight, restriction, coarse, geometry.groups)
    return dense(x, folded, bias, geometry)


def block_diagonal_for(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """The dense weight (c_out, c_in, k_h, k_w) of a grouped one for the convolution of x."""
    return fold(x, weight, None, None, groups) if can_fold(x, weight) else block_diagonal(weight, groups)
