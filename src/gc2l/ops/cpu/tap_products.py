"""The restriction r as a matrix product for each group with all its taps, and the shifts that align their results.

This is far cheaper than a convolution with n output channels, which convolution kernels pad to the width of the vector
unit. T = k_h k_w taps; pixels are ordered as (N, H, W).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import pixels


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x: x (N, c_in, H, W), channels last, restriction (n m, c_in/n, k_h, k_w) -> z (n m, N, H', W')."""
    groups, (height, width), (k_h, k_w) = geometry.groups, x.shape[2:], restriction.shape[2:]
    taps = torch.bmm(_tap_matrices(restriction, groups), _by_group(x, groups).mT)  # (n, T m, N H W)
    taps = taps.view(groups, k_h, k_w, -1, len(x), height, width)
    size = geometry.output_size((height, width), (k_h, k_w))
    z = x.new_zeros(groups, len(restriction) // groups, len(x), *size)
    for tap, seen, written in _alignments(geometry, (k_h, k_w), (height, width), size):
        z[written].add_(taps[tap][seen])
    return z.flatten(0, 1)


def restrict_backward(
    z_gradient: Tensor, x: Tensor, restriction: Tensor, geometry: Geometry, x_gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The gradients of x, channels last, and of r, from that of z (n m, N, H', W').

    That of x is added to `x_gradient`, in place, where it is given.
    """
    groups, kernel = geometry.groups, restriction.shape[2:]
    taps = _gradients_of_taps(z_gradient.unflatten(0, (groups, -1)), geometry, kernel, x.shape[2:])
    beta = 1
    if x_gradient is None:
        x_gradient, beta = torch.empty_like(x, memory_format=torch.channels_last), 0
    for own, tap_values, matrix in zip(
        _by_group(x_gradient, groups), taps, _tap_matrices(restriction.flip(2, 3), groups), strict=True
    ):
        own.addmm_(tap_values.T, matrix, beta=beta)
    found = torch.bmm(taps, _by_group(x, groups))  # (n, T m, c_in/n)
    found = found.view(groups, *kernel, -1, restriction.shape[1]).permute(0, 3, 4, 1, 2)
    return x_gradient, found.flatten(0, 1).flip(2, 3)


def _gradients_of_taps(z_gradient: Tensor, geometry: Geometry, kernel: Sequence[int], size: Sequence[int]) -> Tensor:
    """What each input pixel gets through each tap, the last tap first: (n, m, N, H', W') -> (n, T m, N H W)."""
    reach = [(kernel[axis] - 1) * geometry.dilation[axis] for axis in (0, 1)]
    # Surrounded by zeros, every tap's share is a window of the gradient: one copy, and no zeros written between.
    around = z_gradient.new_zeros(*z_gradient.shape[:3], size[0] + reach[0], size[1] + reach[1])
    (to_rows, from_rows), (to_columns, from_columns) = (
        _span(reach[axis] - geometry.padding[axis], geometry.stride[axis], around.shape[3 + axis], outputs)
        for axis, outputs in enumerate(z_gradient.shape[3:])
    )
    around[..., to_rows, to_columns] = z_gradient[..., from_rows, from_columns]
    windows = around.unfold(3, size[0], geometry.dilation[0]).unfold(4, size[1], geometry.dilation[1])
    return windows.permute(0, 3, 4, 1, 2, 5, 6).flatten(4).flatten(1, 3)


def _tap_matrices(restriction: Tensor, groups: int) -> Tensor:
    """r as a matrix for each group: (n, T m, c_in/n)."""
    return restriction.unflatten(0, (groups, -1)).permute(0, 3, 4, 1, 2).flatten(1, 3)


def _by_group(x: Tensor, groups: int) -> Tensor:
    """x (N, c_in, H, W), channels last, as (n, N H W, c_in/n), without a copy."""
    return pixels(x).unflatten(1, (groups, -1)).transpose(0, 1)


def _alignments(
    geometry: Geometry, kernel: tuple[int, int], size: tuple[int, ...], out: tuple[int, ...]
) -> Iterator[tuple[tuple, tuple, tuple]]:
    """For each tap: its place among all, the inputs that it sees, and the outputs that it contributes to."""
    axes = [
        [_span(tap * geometry.dilation[axis] - geometry.padding[axis], geometry.stride[axis], size[axis], out[axis])
         for tap in range(kernel[axis])]
        for axis in (0, 1)
    ]  # fmt: skip
    for i, (seen_rows, written_rows) in enumerate(axes[0]):
        for j, (seen_columns, written_columns) in enumerate(axes[1]):
            yield (slice(None), i, j), (..., seen_rows, seen_columns), (..., written_rows, written_columns)


def _span(offset: int, stride: int, size: int, out: int) -> tuple[slice, slice]:
    """The inputs o stride + offset that lie inside 0 .. size - 1, and their outputs o."""
    first = max(0, -(offset // stride))
    last = min(out - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset
    return slice(start, last * stride + offset + 1, stride), slice(first, last + 1)
