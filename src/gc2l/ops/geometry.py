"""Stride, padding, dilation and groups of a convolution, as `F.conv2d` takes them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Geometry(NamedTuple):
    """What a convolution needs beside its tensors; pairs are (vertical, horizontal)."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int | None = None) -> Tensor:
        """The framework's convolution with these settings; `groups` replaces the number stored here."""
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, groups or self.groups)

    def convolve_backward(
        self, gradient: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool] = (True, True)
    ) -> tuple[Any, Any]:
        """The gradients of x and of the weight from the gradient of `convolve`'s output, by the framework.

        Those that are not `wanted` are None, and are not computed.
        """
        x_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
            gradient,
            x,
            weight,
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,
            (0, 0),
            self.groups,
            (*wanted, False),
        )
        return x_gradient, weight_gradient

    def output_size(self, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """(H', W') for an input of `size` (H, W)."""
        height, width = (
            (size[axis] + 2 * self.padding[axis] - self.dilation[axis] * (kernel[axis] - 1) - 1) // self.stride[axis]
            + 1
            for axis in (0, 1)
        )
        return height, width

    def in_channels(self, weight: Tensor) -> int:
        """c_in of a convolution with this weight (c, c_in/n, k_h, k_w)."""
        return weight.shape[1] * self.groups

    def maps_each_pixel_to_one(self, weight: Tensor) -> bool:
        """Whether a convolution with this weight (c, c_in/n, k_h, k_w) is a matrix product over pixels."""
        return weight.shape[2:] == (1, 1) and self.stride == (1, 1) and self.padding == (0, 0)
