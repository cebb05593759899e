"""3 x 3 group convolution, with its coarse level where there is one, in a single compiled kernel on the CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gc2l.ops import fused
from gc2l.ops.autograd import GroupWay, TwoLevelWay
from gc2l.ops.cpu import compiled
from gc2l.ops.geometry import Geometry
from gc2l.ops.transforms import is_observed


def can_group(x: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether the kernel can compute group convolution of x (N, c_in, H, W), channels last."""
    return compiled.can_convolve(x, weight, 0, geometry)


def group_forward(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """y (N, c_out, H', W')."""
    y, _ = compiled.convolve(x, weight, None, None, geometry)
    return y if bias is None else y.add_(bias[:, None, None])


def group_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x and A; of one alone by the framework, which takes less time than the kernel takes for both."""
    of_x, of_weight = wanted
    if is_observed(gradient, x, weight) or not (of_x and of_weight):
        stored = weight.contiguous(memory_format=torch.channels_last)
        return geometry.convolve_backward(gradient, x, stored, (of_x, of_weight))
    x_gradient, weight_gradient, _, _ = compiled.convolve_backward(gradient, x, None, weight, None, None, geometry)
    return x_gradient, weight_gradient


def two_level_forward(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """y (N, c_out, H', W') and z (N H' W', n m); as in `fused` where the kernel cannot."""
    if not compiled.can_convolve(x, weight, coarse.shape[1], geometry):
        return fused.forward(x, weight, restriction, coarse, bias, geometry)
    y, z = compiled.convolve(x, weight, restriction, coarse.flatten(1), geometry)
    return y if bias is None else y.add_(bias[:, None, None]), z


def two_level_backward(
    gradient: Tensor,
    x: Tensor,
    z: Tensor,
    weight: Tensor,
    restriction: Tensor,
    coarse: Tensor,
    geometry: Geometry,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, A, r and C; as in `fused` where the kernel cannot, or x or A needs none."""
    can = not is_observed(gradient) and compiled.can_convolve(x, weight, coarse.shape[1], geometry)
    if not (can and wanted[0] and wanted[1]):
        return fused.backward(gradient, x, z, weight, restriction, coarse, geometry, wanted)
    c = coarse.flatten(1)
    *found, coarse_gradient = compiled.convolve_backward(gradient, x, z, weight, restriction, c, geometry)
    x_gradient, weight_gradient, restriction_gradient = found
    return x_gradient, weight_gradient, restriction_gradient, coarse_gradient.reshape(coarse.shape)


GROUP = GroupWay(group_forward, group_backward)
TWO_LEVEL = TwoLevelWay(two_level_forward, two_level_backward)
