"""r as one standard convolution c_in -> n m with zeros between the groups; gradients as in `fused`."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.ops import fused
from gc2l.ops.autograd import TwoLevelWay
from gc2l.ops.cpu import coarse_level
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import pixels
from gc2l.ops.weights import block_diagonal


def formula(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> Tensor:
    """y by differentiable operations alone."""
    z = geometry.convolve(x, block_diagonal(restriction, geometry.groups), None, groups=1)  # (N, n m, H', W')
    return geometry.convolve(x, weight, bias) + F.conv2d(z, coarse)


def forward(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """y (N, c_out, H', W') and z (N H' W', n m)."""
    y = geometry.convolve(x, weight, bias).contiguous(memory_format=torch.channels_last)
    dense = block_diagonal(restriction, geometry.groups).contiguous(memory_format=torch.channels_last)
    z = pixels(geometry.convolve(x, dense, None, groups=1))
    coarse_level(x, weight, coarse.shape[1]).add_coarse(pixels(y), z, coarse.flatten(1))
    return y, z


WAY = TwoLevelWay(forward, fused.backward)
