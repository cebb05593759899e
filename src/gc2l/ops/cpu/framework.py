"""The coarse level by the framework's products and copies, for what `compiled` cannot do.

Shapes are those of `gc2l.ops.cpu`.
"""

import torch
from torch import Tensor

from gc2l.ops.cpu import tap_products
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import new_image, pixels
from gc2l.ops.weights import block_diagonal, diagonal_blocks


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x."""
    if geometry.maps_each_pixel_to_one(restriction):
        return pixels(x) @ block_diagonal(restriction, geometry.groups).flatten(1).T
    return tap_products.restrict(x, restriction, geometry).flatten(1).T


def add_coarse(y: Tensor, z: Tensor, coarse: Tensor) -> None:
    """y += C z in place."""
    y.addmm_(z, coarse.T)


def split_fused(fused: Tensor, coarse: Tensor, groups: int, y: Tensor) -> Tensor:
    """Split the fused convolution's output (P, c_out + n m) into z, returned, and y = A x + C z, written to y."""
    by_group = fused.unflatten(1, (groups, -1))
    fine = len(coarse) // groups
    y.unflatten(1, (groups, -1)).copy_(by_group[..., :fine])
    z = by_group[..., fine:].flatten(1).contiguous()
    add_coarse(y, z, coarse)
    return z


def coarse_gradients(gradient: Tensor, z: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of z and C from that of y."""
    # A product can write the channels first as fast; a copy of so narrow a matrix could not.
    return (coarse.T.contiguous() @ gradient.T).T, _coarse_gradient(gradient, z)


def fused_gradients(gradient: Tensor, z: Tensor, coarse: Tensor, groups: int, fused: Tensor) -> Tensor:
    """The gradient of C from that of y; that of the fused convolution's output (P, c_out + n m) is written."""
    both = [values.unflatten(1, (groups, -1)) for values in (gradient, gradient @ coarse)]
    torch.cat(both, dim=2, out=fused.unflatten(1, (groups, -1)))
    return _coarse_gradient(gradient, z)


def restrict_backward(
    z_gradient: Tensor, x: Tensor, restriction: Tensor, geometry: Geometry, x_gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The gradients of x and r from that of z; that of x is added to `x_gradient`, in place, where it is given."""
    if not geometry.maps_each_pixel_to_one(restriction):
        size = geometry.output_size((x.shape[2], x.shape[3]), (restriction.shape[2], restriction.shape[3]))
        by_channel = z_gradient.T.reshape(-1, len(x), *size)
        return tap_products.restrict_backward(by_channel, x, restriction, geometry, x_gradient)
    if x_gradient is None:
        x_gradient = new_image(x, x.shape[1], x.shape[2:]).zero_()
    pixels(x_gradient).addmm_(z_gradient, block_diagonal(restriction, geometry.groups).flatten(1))
    return x_gradient, diagonal_blocks((z_gradient.T @ pixels(x))[:, :, None, None], geometry.groups)


def _coarse_gradient(gradient: Tensor, z: Tensor) -> Tensor:
    # With the narrow matrix on the left: the other way round takes two to four times as long.
    return (z.T @ gradient).T
