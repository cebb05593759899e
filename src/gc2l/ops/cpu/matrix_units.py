"""The coarse level in bfloat16 on matrix units (AMX): products by the framework, which uses them, the rest in C.

Products cost next to nothing there, and what remains is memory: rows are taken apart and put together without
arithmetic, and r, whatever its groups, is one standard convolution. Shapes are those of `gc2l.ops.cpu`, with n m as in
`compiled`.
"""

from functools import cache

import torch
from torch import Tensor

from gc2l.ops.cpu import compiled, framework
from gc2l.ops.cpu.loader import call
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import pixels
from gc2l.ops.weights import block_diagonal


@cache
def available() -> bool:
    """Whether the processor has matrix units for bfloat16."""
    return torch.cpu._is_amx_tile_supported()


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x."""
    if geometry.maps_each_pixel_to_one(restriction):
        return framework.restrict(x, restriction, geometry)
    dense = block_diagonal(restriction, geometry.groups).contiguous(memory_format=torch.channels_last)
    return pixels(geometry.convolve(x, dense, None, groups=1))


def add_coarse(y: Tensor, z: Tensor, coarse: Tensor) -> None:
    """y += C z in place."""
    framework.add_coarse(y, z, coarse)


def split_fused(fused: Tensor, coarse: Tensor, groups: int, y: Tensor) -> Tensor:
    """Split the fused convolution's output (P, c_out + n m) into z, returned, and y = A x + C z, written to y."""
    c_out, k = coarse.shape
    z = fused.new_empty(len(fused), k)
    call("split", fused.dtype, len(fused), c_out, c_out // groups, k // groups, fused, y, z)
    add_coarse(y, z, coarse)
    return z


def coarse_gradients(gradient: Tensor, z: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of z and C from that of y."""
    return gradient @ coarse, (z.T @ gradient).T


def fused_gradients(gradient: Tensor, z: Tensor, coarse: Tensor, groups: int, fused: Tensor) -> Tensor:
    """The gradient of C from that of y; that of the fused convolution's output (P, c_out + n m) is written."""
    c_out, k = coarse.shape
    z_gradient, coarse_gradient = coarse_gradients(gradient, z, coarse)
    sizes = (len(gradient), c_out, c_out // groups, k // groups)
    call("join", fused.dtype, *sizes, gradient, z_gradient.contiguous(), fused)
    return coarse_gradient


def restrict_backward(
    z_gradient: Tensor, x: Tensor, restriction: Tensor, geometry: Geometry, x_gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The gradients of x and r from that of z; that of x is added to `x_gradient`, in place, where it is given."""
    level = framework if geometry.maps_each_pixel_to_one(restriction) else compiled
    return level.restrict_backward(z_gradient, x, restriction, geometry, x_gradient)
