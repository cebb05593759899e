"""The convolutions as their equations stand. Everything else in this room computes the same numbers faster.

Shapes: x (N, c_in, H, W) or (c_in, H, W); A (c_out, c_in/n, k_h, k_w), r (n m, c_in/n, k_h, k_w), C (c_out, n m, 1, 1),
b (c_out); y (N, c_out, H', W') or (c_out, H', W').
"""

from torch import Tensor
from torch.nn import functional as F

from gc2l.ops.geometry import Geometry
from gc2l.ops.windows import extended_groups


def group(x: Tensor, A: Tensor, b: Tensor | None, geometry: Geometry) -> Tensor:
    """Group convolution, y_j = A_j x_j + b_j (eq. 2.9-2.12)."""
    return geometry.convolve(x, A, b)


def two_level(x: Tensor, A: Tensor, r: Tensor, C: Tensor, b: Tensor | None, geometry: Geometry) -> Tensor:
    """Two-level group convolution, y_j = A_j x_j + C_j z + b_j with z_i = r_i x_i (eq. 3.5)."""
    z = geometry.convolve(x, r, None)  # (N, n m, H', W')
    return geometry.convolve(x, A, b) + F.conv2d(z, C)


def overlapping_two_level(x: Tensor, A: Tensor, r: Tensor, C: Tensor, b: Tensor | None, geometry: Geometry) -> Tensor:
    """y_j = A_j x_[j] + C_j z + b_j, z_i = r_i x_i, where x_[j] is x_j with d channels before and after it.

    A (c_out, c_in/n + 2 d, k_h, k_w) tells d.
    """
    halo = (A.shape[1] - r.shape[1]) // 2
    extended = extended_groups(x.shape[-3], geometry.groups, halo, x.device)  # (n, c_in/n + 2 d)
    z = geometry.convolve(x, r, None)  # (N, n m, H', W')
    return geometry.convolve(x.index_select(-3, extended.flatten()), A, b) + F.conv2d(z, C)


def shuffle(y: Tensor, groups: int, dim: int) -> Tensor:
    """The channels along `dim` shuffled across the groups: view (n, c/n), transpose, flatten."""
    dim %= y.dim()
    return y.unflatten(dim, (groups, -1)).transpose(dim, dim + 1).flatten(dim, dim + 1)
