"""Stride, padding, dilation and groups of a convolution, without the padding that `F.conv2d` cannot do."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Geometry(NamedTuple):
    """What `F.conv2d` needs beside its tensors; pairs are (vertical, horizontal)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int | None = None) -> Tensor:
        """Convolve x with these settings; `groups` takes the place of the number kept here."""
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, groups or self.groups)

    def convolve_backward(self, gradient: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of x and of the weight from that of `convolve`'s output, by the framework."""
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
            (True, True, False),
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


def padded_input(conv: Any, x: Tensor) -> tuple[Tensor, Geometry]:
    """x with the padding of `conv` that is not symmetric or not of zeros, and the geometry that remains."""
    stride: Any = conv.stride
    dilation: Any = conv.dilation
    widths = conv._reversed_padding_repeated_twice  # left, right, top, bottom
    symmetric = widths[0] == widths[1] and widths[2] == widths[3]
    if conv.padding_mode == "zeros" and symmetric:
        return x, Geometry(stride, (widths[2], widths[0]), dilation, conv.groups)
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    return F.pad(x, widths, mode=mode), Geometry(stride, (0, 0), dilation, conv.groups)


def is_channels_last(x: Tensor) -> bool:
    """Whether x (N, c, H, W) is stored channels last, and not in the usual order too."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
