"""A_j and r_j as one group convolution, whose output holds A_j x_j and z_j beside each other (section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.ops.autograd import TwoLevelWay
from gc2l.ops.cpu import coarse_level
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import new_image, pixels
from gc2l.ops.weights import fused_weight, split_fused_weight


def formula(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> Tensor:
    """y by differentiable operations alone."""
    fine = len(weight) // geometry.groups
    fused = geometry.convolve(x, fused_weight(weight, restriction, geometry.groups), None)
    fused = fused.unflatten(-3, (geometry.groups, -1))  # (N, n, c_out/n + m, H', W')
    y, z = fused[..., :fine, :, :].flatten(-4, -3), fused[..., fine:, :, :].flatten(-4, -3)
    return y + F.conv2d(z, coarse, bias)


def forward(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """y (N, c_out, H', W') and z (N H' W', n m)."""
    level, c = coarse_level(x, weight, coarse.shape[1]), coarse.flatten(1)
    both_weights = fused_weight(weight, restriction, geometry.groups).contiguous(memory_format=torch.channels_last)
    fused = geometry.convolve(x, both_weights, None).contiguous(memory_format=torch.channels_last)
    y = new_image(fused, len(weight), fused.shape[2:])
    z = level.split_fused(pixels(fused), c, geometry.groups, pixels(y))
    if bias is not None:
        pixels(y).add_(bias)
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
    """The gradients of x, A, r and C: those of A and r come from one backward pass of the fused convolution.

    What of that pass is not `wanted` is None. That of C comes with that of z in one pass over the gradient of y.
    """
    level, c = coarse_level(x, weight, coarse.shape[1]), coarse.flatten(1)
    of_x, of_filters = wanted[0], wanted[1] or wanted[2]
    if not (of_x or of_filters):
        _, coarse_gradient = level.coarse_gradients(pixels(gradient), z, c)
        return None, None, None, coarse_gradient.reshape(coarse.shape)
    upstream = new_image(gradient, len(weight) + len(restriction), gradient.shape[2:])
    coarse_gradient = level.fused_gradients(pixels(gradient), z, c, geometry.groups, pixels(upstream))
    both_weights = fused_weight(weight, restriction, geometry.groups).contiguous(memory_format=torch.channels_last)
    x_gradient, both_gradients = geometry.convolve_backward(upstream, x, both_weights, (of_x, of_filters))
    found = split_fused_weight(both_gradients, len(weight), geometry.groups) if of_filters else (None, None)
    return x_gradient, *found, coarse_gradient.reshape(coarse.shape)


WAY = TwoLevelWay(forward, backward)
