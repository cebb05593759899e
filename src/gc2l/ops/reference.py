"""The convolutions as their equations stand. Everything else in this room computes the same numbers faster.

Shapes: x (N, c_in, H, W) or (c_in, H, W); A (c_out, c_in/n, k_h, k_w), r (n m, c_in/n, k_h, k_w), C (c_out, n m, 1, 1),
b (c_out); y (N, c_out, H', W') or (c_out, H', W').
"""

from torch import Tensor
from torch.nn import functional as F

from gc2l.ops.geometry import Geometry


def group(x: Tensor, A: Tensor, b: Tensor | None, geometry: Geometry) -> Tensor:
    """Group convolution, y_j = A_j x_j + b_j (eq. 2.9-2.12)."""
    return geometry.convolve(x, A, b)


def two_level(x: Tensor, A: Tensor, r: Tensor, C: Tensor, b: Tensor | None, geometry: Geometry) -> Tensor:
    """Two-level group convolution, y_j = A_j x_j + C_j z + b_j with z_i = r_i x_i (eq. 3.5)."""
    z = geometry.convolve(x, r, None)  # (N, n m, H', W')
    return geometry.convolve(x, A, b) + F.conv2d(z, C)


def shuffle(y: Tensor, groups: int, dim: int) -> Tensor:
    """The channels along `dim` shuffled across the groups: view (n, c/n), transpose, flatten."""
    dim %= y.dim()
    return y.unflatten(dim, (groups, -1)).transpose(dim, dim + 1).flatten(dim, dim + 1)
