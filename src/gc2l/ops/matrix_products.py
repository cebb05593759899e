"""Group convolution with a 1 x 1 kernel as one matrix product for each group, without a copy of input or output."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gc2l.ops.autograd import GroupConvolution, GroupWay
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import is_channels_last, new_image, pixels, pointwise_input, to_channels_last
from gc2l.ops.transforms import autocast


def group(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """y = A x + b for x (N, c_in, H, W) and a weight (c_out, c_in/n, 1, 1), in the memory format of x."""
    read = to_channels_last(pointwise_input(x, geometry))
    y = GroupConvolution.apply(_WAY, *autocast(read, weight, bias), Geometry(groups=geometry.groups))
    return y if is_channels_last(x) else y.contiguous()


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """y (N, c_out, H, W), channels last."""
    y, n = new_image(x, len(weight), x.shape[2:]), geometry.groups
    by_group = pixels(x).chunk(n, 1), weight.flatten(1).chunk(n), pixels(y).chunk(n, 1)
    for x_j, a_j, y_j in zip(*by_group, strict=True):
        torch.mm(x_j, a_j.T, out=y_j)
    if bias is not None:
        pixels(y).add_(bias)
    return y


def backward(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x, channels last, and of `weight`, from the gradient of y; None where not `wanted`."""
    of_x, of_weight = wanted
    n = geometry.groups
    x_gradient, weight_gradient = new_image(x, x.shape[1], x.shape[2:]), weight.new_empty(weight.shape)
    for x_j, a_j, g_j, dx_j, da_j in zip(
        pixels(x).chunk(n, 1),
        weight.flatten(1).chunk(n),
        pixels(gradient).chunk(n, 1),
        pixels(x_gradient).chunk(n, 1),
        weight_gradient.flatten(1).chunk(n),
        strict=True,
    ):
        if of_x:
            torch.mm(g_j, a_j, out=dx_j)
        # The product is fastest with the narrow matrix on the left.
        if not of_weight:
            continue
        if x_j.shape[1] < g_j.shape[1]:
            da_j.copy_((x_j.T @ g_j).T)
        else:
            torch.mm(g_j.T, x_j, out=da_j)
    return x_gradient if of_x else None, weight_gradient if of_weight else None


_WAY = GroupWay(forward, backward)
