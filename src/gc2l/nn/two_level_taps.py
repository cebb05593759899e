"""The restriction r as one matrix product with all its taps, and the shifts that align their results.

For few groups n this is far cheaper than a convolution with n output channels, which convolution kernels pad to the
width of the vector unit. T = k_h k_w taps; pixels are ordered as (N, H, W).
"""

from collections.abc import Iterator

from torch import Tensor

from gc2l.nn.blocks import block_diagonal, diagonal_blocks
from gc2l.nn.geometry import Geometry
from gc2l.nn.pointwise import image, rows


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x: x (N, c_in, H, W), channels last, restriction (n m, c_in/n, k_h, k_w) -> z (n m, N, H', W')."""
    images, _, height, width = x.shape
    channels, _, k_h, k_w = restriction.shape
    taps = _tap_matrix(restriction, geometry) @ rows(x).T  # (T n m, N H W)
    taps = taps.view(k_h, k_w, channels, images, height, width)
    size = geometry.output_size((height, width), (k_h, k_w))
    z = x.new_zeros(channels, images, *size)
    for tap, seen, written in _alignments(geometry, (k_h, k_w), (height, width), size):
        z[written].add_(taps[tap][seen])
    return z


def restrict_backward(
    z_gradient: Tensor, x: Tensor, restriction: Tensor, geometry: Geometry, x_gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The gradients of x, channels last, and of r, from that of z (n m, N, H', W').

    That of x is added to `x_gradient`, in place, where it is given.
    """
    channels, _, k_h, k_w = restriction.shape
    taps = x.new_zeros(k_h, k_w, channels, len(x), *x.shape[2:])
    for tap, seen, written in _alignments(geometry, (k_h, k_w), x.shape[2:], z_gradient.shape[2:]):
        taps[tap][seen].copy_(z_gradient[written])
    taps = taps.view(k_h * k_w * channels, -1)
    matrix = _tap_matrix(restriction, geometry)
    if x_gradient is None:
        x_gradient = image(taps.T @ matrix, x)
    else:
        rows(x_gradient).addmm_(taps.T, matrix)
    dense = (taps @ rows(x)).view(k_h, k_w, channels, -1).permute(2, 3, 0, 1)  # (n m, c_in, k_h, k_w)
    return x_gradient, diagonal_blocks(dense, geometry.groups)


def by_channel(upstream: Tensor, coarse: Tensor, like: Tensor) -> Tensor:
    """The gradient of z (n m, N, H', W') from that of y as rows (N H' W', c_out); N, H' and W' are those of `like`."""
    # A product can write the channels first as fast; a copy of so narrow a matrix could not.
    return (coarse.flatten(1).T.contiguous() @ upstream.T).view(-1, len(like), *like.shape[2:])


def _tap_matrix(restriction: Tensor, geometry: Geometry) -> Tensor:
    """r as a matrix (T n m, c_in), zero where an input channel is of another group."""
    return block_diagonal(restriction, geometry.groups).permute(2, 3, 0, 1).flatten(0, 2)


def _alignments(
    geometry: Geometry, kernel: tuple[int, int], size: tuple[int, ...], out: tuple[int, ...]
) -> Iterator[tuple[tuple[int, int], tuple, tuple]]:
    """For each tap: its place in the kernel, the inputs that it sees, and the outputs that it contributes to."""
    axes = [
        [_span(tap * geometry.dilation[axis] - geometry.padding[axis], geometry.stride[axis], size[axis], out[axis])
         for tap in range(kernel[axis])]
        for axis in (0, 1)
    ]  # fmt: skip
    for i, (seen_rows, written_rows) in enumerate(axes[0]):
        for j, (seen_columns, written_columns) in enumerate(axes[1]):
            yield (i, j), (..., seen_rows, seen_columns), (..., written_rows, written_columns)


def _span(offset: int, stride: int, size: int, out: int) -> tuple[slice, slice]:
    """The inputs o stride + offset that lie inside 0 .. size - 1, and their outputs o."""
    first = max(0, -(offset // stride))
    last = min(out - 1, (size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset
    return slice(start, last * stride + offset + 1, stride), slice(first, last + 1)
