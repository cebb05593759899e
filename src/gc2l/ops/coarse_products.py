"""z = r x as matrix products beside the group convolution, which for a 1 x 1 kernel is matrix products too."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gc2l.ops import matrix_products
from gc2l.ops.autograd import TwoLevelWay
from gc2l.ops.cpu import coarse_level
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import pixels


def forward(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """y (N, c_out, H', W') and z (N H' W', n m)."""
    if geometry.maps_each_pixel_to_one(weight):
        y = matrix_products.forward(x, weight, bias, geometry)
    else:
        y = geometry.convolve(x, weight, bias).contiguous(memory_format=torch.channels_last)
    level = coarse_level(x, weight, coarse.shape[1])
    z = level.restrict(x, restriction, geometry)
    level.add_coarse(pixels(y), z, coarse.flatten(1))
    return y, z


def backward(
    gradient: Tensor,
    x: Tensor,
    z: Tensor,
    weight: Tensor,
    restriction: Tensor,
    coarse: Tensor,
    geometry: Geometry,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, A, r and C; what is not `wanted` of the first two, or of the last two together, is None."""
    of_x, of_weight, of_restriction, of_coarse = wanted
    x_gradient = weight_gradient = restriction_gradient = coarse_gradient = None
    if geometry.maps_each_pixel_to_one(weight):
        x_gradient, weight_gradient = matrix_products.backward(gradient, x, weight, geometry, (of_x, of_weight))
    elif of_x or of_weight:
        stored = weight.contiguous(memory_format=torch.channels_last)
        x_gradient, weight_gradient = geometry.convolve_backward(gradient, x, stored, (of_x, of_weight))
        x_gradient = x_gradient.contiguous(memory_format=torch.channels_last) if of_x else None
    if of_x or of_restriction or of_coarse:
        level = coarse_level(x, weight, coarse.shape[1])
        z_gradient, coarse_gradient = level.coarse_gradients(pixels(gradient), z, coarse.flatten(1))
        coarse_gradient = coarse_gradient.reshape(coarse.shape)
        if of_x or of_restriction:
            _, restriction_gradient = level.restrict_backward(z_gradient, x, restriction, geometry, x_gradient)
    return x_gradient, weight_gradient, restriction_gradient, coarse_gradient


WAY = TwoLevelWay(forward, backward)
