"""Passes over memory of GC-2L's coarse level, by the framework's products and copies.

Images x are channels last. What belongs to outputs is a matrix with a row for each of the P = N H' W' pixels: y
(P, c_out), z (P, n m); C (c_out, n m), r (n m, c_in/n, k_h, k_w). `kernels` has the same functions, compiled.
"""

import torch
from torch import Tensor

from gc2l.nn import two_level_taps
from gc2l.nn.blocks import block_diagonal, diagonal_blocks
from gc2l.nn.geometry import Geometry
from gc2l.nn.pointwise import rows


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x."""
    if _sees_one_pixel(restriction, geometry):
        return rows(x) @ block_diagonal(restriction, geometry.groups).flatten(1).T
    return two_level_taps.restrict(x, restriction, geometry).flatten(1).T


def add_coarse(y: Tensor, z: Tensor, coarse: Tensor) -> None:
    """y += C z in place."""
    y.addmm_(z, coarse.T)


def take_apart(both: Tensor, coarse: Tensor, groups: int, y: Tensor) -> Tensor:
    """z from the output of the fused convolution, with A_j x_j and z_j beside each other; y = A x + C z is written."""
    by_group = both.unflatten(1, (groups, -1))
    fine = len(coarse) // groups
    y.unflatten(1, (groups, -1)).copy_(by_group[..., :fine])
    z = by_group[..., fine:].flatten(1).contiguous()
    add_coarse(y, z, coarse)
    return z


def coarse_gradients(gradient: Tensor, z: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of z and C from that of y."""
    # A product can write the channels first as fast; a copy of so narrow a matrix could not.
    return (coarse.T.contiguous() @ gradient.T).T, _coarse_gradient(gradient, z)


def put_together(gradient: Tensor, z: Tensor, coarse: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """The gradients of `take_apart`'s `both` and of C from that of y."""
    parts = [part.unflatten(1, (groups, -1)) for part in (gradient, gradient @ coarse)]
    return torch.cat(parts, dim=2).flatten(1), _coarse_gradient(gradient, z)


def restrict_backward(
    z_gradient: Tensor, x: Tensor, restriction: Tensor, geometry: Geometry, x_gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The gradients of x and r from that of z; that of x is added to `x_gradient`, in place, where it is given."""
    if not _sees_one_pixel(restriction, geometry):
        size = geometry.output_size((x.shape[2], x.shape[3]), (restriction.shape[2], restriction.shape[3]))
        by_channel = z_gradient.T.reshape(-1, len(x), *size)
        return two_level_taps.restrict_backward(by_channel, x, restriction, geometry, x_gradient)
    if x_gradient is None:
        x_gradient = torch.empty_like(x, memory_format=torch.channels_last).zero_()
    rows(x_gradient).addmm_(z_gradient, block_diagonal(restriction, geometry.groups).flatten(1))
    return x_gradient, diagonal_blocks((z_gradient.T @ rows(x))[:, :, None, None], geometry.groups)


def _coarse_gradient(gradient: Tensor, z: Tensor) -> Tensor:
    # With the narrow matrix on the left: the other way round takes two to four times as long.
    return (z.T @ gradient).T


def _sees_one_pixel(restriction: Tensor, to: Geometry) -> bool:
    """Whether every output belongs to one pixel of x, and the other way round."""
    return restriction.shape[2:] == (1, 1) and to.stride == (1, 1) and to.padding == (0, 0)
