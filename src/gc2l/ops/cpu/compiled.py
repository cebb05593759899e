"""The coarse level, and 3 x 3 layers as a whole, in C: for float32 and bfloat16 on processors with AVX-512.

The framework's products, copies and additions each read and write the layer's input or output once; these functions do
together what reads the same memory. `convolve` is a group convolution for 3 x 3 kernels and stride 1, with the coarse
level inside, or without one. Nothing but speed depends on them.

x, y, z and their gradients are stored in one type, and so are weights and what is returned for them. All arithmetic is
float32: in bfloat16 a number is rounded only where it is stored.

Shapes are those of `gc2l.ops.cpu`, with n m <= `MOST_COARSE`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.ops.cpu.loader import DTYPES, call, layer_of, library, scratch
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import new_image
from gc2l.ops.transforms import is_observed
from gc2l.ops.weights import fused_weight

MOST_COARSE = 16
_LANES = 16
_BAND = 128  # pixels of x whose gradients stay in the innermost cache, two vectors of channels at a time


def available() -> bool:
    """Whether the functions are compiled and this processor can run them."""
    return library() is not None


def can_use(x: Tensor, weight: Tensor, coarse_channels: int) -> bool:
    """Whether the functions can be used for the image x, this weight, and n m = `coarse_channels`."""
    plain = x.device.type == "cpu" and x.dtype in DTYPES and x.dtype == weight.dtype and x.dim() == 4 and x.numel() > 0
    # They read memory as it is stored, the framework's functions follow the strides.
    plain = plain and x.is_contiguous(memory_format=torch.channels_last)
    return plain and coarse_channels <= MOST_COARSE and available() and not is_observed(x, weight)


def has_kernel(filters: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether `convolve` is written for filters of this shape, (c_out, c_in/n, k_h, k_w), and this geometry."""
    plain = filters[2:] == (3, 3) and (geometry.stride, geometry.dilation) == ((1, 1), (1, 1))
    return plain and max(geometry.padding) <= 2


def can_convolve(x: Tensor, weight: Tensor, coarse_channels: int, geometry: Geometry) -> bool:
    """Whether `convolve` can be used; not for an x of other channels than the weight's, which the framework refuses."""
    has = has_kernel(weight.shape, geometry) and x.shape[1] == geometry.in_channels(weight)
    has = has and min(geometry.output_size((x.shape[-2], x.shape[-1]), (3, 3))) > 0
    return has and can_use(x, weight, coarse_channels)


def convolve(
    x: Tensor, weight: Tensor, restriction: Tensor | None, coarse: Tensor | None, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """(y, z) with y = A x + C z, an image, and z = r x; without r and C group convolution, and z is empty."""
    c_out, groups = len(weight), geometry.groups
    layer = layer_of(x, weight, geometry, 0 if coarse is None else coarse.shape[1])
    fine, m = c_out // groups, layer.k // groups
    y = new_image(x, c_out, (layer.out_height, layer.out_width))
    z = x.new_empty(y[:, 0].numel(), layer.k)
    filters, taps, transposed = weight, None, None
    if restriction is not None and coarse is not None:
        filters = fused_weight(weight, restriction, groups) if _has_room(fine, m) else weight
        taps, transposed = _by_taps(restriction), _transposed(coarse)
    filters = filters.view(groups, -1, *weight.shape[1:]).permute(0, 3, 4, 2, 1)  # (n, 3, 3, c_in/n, c_out/n [+ m])
    given = (x, _padded_filters(filters), taps, transposed, y, z)
    call("convolve", x.dtype, layer, *given, scratch(layer, c_out, x.dtype), c_out)
    return y, z


def convolve_backward(
    gradient: Tensor,
    x: Tensor,
    z: Tensor | None,
    weight: Tensor,
    restriction: Tensor | None,
    coarse: Tensor | None,
    geometry: Geometry,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, A, r and C from that of y, an image; without r and C, and z, the last two are empty."""
    c_out, groups = len(weight), geometry.groups
    layer = layer_of(x, weight, geometry, 0 if coarse is None else coarse.shape[1])
    fine, m, own = c_out // groups, layer.k // groups, weight.shape[1]
    both = weight if restriction is None else fused_weight(weight, restriction, groups)
    filters = both.view(groups, fine + m, own, 3, 3).flip(3, 4).permute(0, 3, 4, 1, 2)  # (n, 3, 3, c_out/n + m, c_in/n)
    x_gradient = torch.empty_like(x, memory_format=torch.channels_last)
    found = _sums_of_threads(groups, 9, _whole_vectors(own), _whole_vectors(fine))
    found_r, found_c = _sums_of_threads(groups, 9, m, _whole_vectors(own)), _sums_of_threads(layer.k, c_out)
    padded = None if coarse is None else _padded(coarse)
    given = (x, gradient, z, _padded_filters(filters), padded, x_gradient, found, found_r, found_c)
    call("convolve_backward", x.dtype, layer, *given, scratch(layer, c_out, x.dtype), c_out)
    filters_gradient = found.sum(0)[:, :, :own].permute(0, 3, 2, 1)  # (n, c_out/n and more, c_in/n, 9)
    if _has_room(fine, m):
        r_gradient = filters_gradient[:, fine : fine + m]
    else:
        r_gradient = found_r.sum(0)[..., :own].permute(0, 2, 3, 1)
    weight_gradient = filters_gradient[:, :fine].reshape(weight.shape).to(x.dtype)
    return x_gradient, weight_gradient, r_gradient.reshape(-1, own, 3, 3).to(x.dtype), found_c.sum(0).T.to(x.dtype)


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x."""
    layer = layer_of(x, restriction, geometry, len(restriction))
    z = x.new_empty(len(x) * layer.out_height * layer.out_width, layer.k)
    call("restrict", x.dtype, layer, x, _by_taps(restriction), x.new_zeros(x.shape[1]), z)
    return z


def add_coarse(y: Tensor, z: Tensor, coarse: Tensor) -> None:
    """y += C z in place."""
    call("add_coarse", y.dtype, *y.shape, z.shape[1], y, z.contiguous(), _transposed(coarse))


def split_fused(fused: Tensor, coarse: Tensor, groups: int, y: Tensor) -> Tensor:
    """Split the fused convolution's output (P, c_out + n m) into z, returned, and y = A x + C z, written to y."""
    c_out, k = coarse.shape
    z = fused.new_empty(len(fused), k)
    call("split_fused", y.dtype, len(fused), c_out, c_out // groups, k // groups, fused, _transposed(coarse), y, z)
    return z


def coarse_gradients(gradient: Tensor, z: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of z and C from that of y."""
    z_gradient = z.new_empty(z.shape)
    return z_gradient, _coarse_gradients(gradient, z, coarse, 1, z_gradient, None)


def fused_gradients(gradient: Tensor, z: Tensor, coarse: Tensor, groups: int, fused: Tensor) -> Tensor:
    """The gradient of C from that of y; that of the fused convolution's output (P, c_out + n m) is written."""
    return _coarse_gradients(gradient, z, coarse, groups, None, fused)


def restrict_backward(
    z_gradient: Tensor, x: Tensor, restriction: Tensor, geometry: Geometry, x_gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The gradients of x and r from that of z; that of x is added to `x_gradient`, in place, where it is given."""
    if x_gradient is None:
        x_gradient = torch.empty_like(x, memory_format=torch.channels_last).zero_()
    layer, by_taps = layer_of(x, restriction, geometry, len(restriction)), _by_taps(restriction)
    found = _sums_of_threads(*by_taps.shape)
    band = max(1, min(_BAND // layer.width, layer.height))
    length = layer.width + layer.dilation_w * (layer.k_w - 1)
    size = band * (layer.k_h * length * layer.k + 2 * layer.width * 2 * _LANES)
    scratch = torch.empty(len(found), size, dtype=torch.float32, device="cpu")
    given = (x, by_taps, z_gradient.contiguous(), x_gradient, found, scratch)
    call("restrict_backward", x.dtype, layer, *given, band)
    return x_gradient, found.sum(0).permute(2, 3, 0, 1).to(x.dtype)


def _coarse_gradients(
    gradient: Tensor, z: Tensor, coarse: Tensor, groups: int, z_gradient: Tensor | None, both: Tensor | None
) -> Tensor:
    """The gradient of C; that of z is written to one of the last two."""
    c_out, k = coarse.shape
    found = _sums_of_threads(k, c_out)
    sizes = (len(z), c_out, c_out // groups, k // groups)
    call("coarse_gradients", z.dtype, *sizes, gradient, z.contiguous(), _padded(coarse), z_gradient, both, found)
    return found.sum(0).T.to(z.dtype)


def _sums_of_threads(*shape: int) -> Tensor:
    """Zeros that every thread adds to, in a block of its own."""
    return torch.zeros(torch.get_num_threads(), *shape, dtype=torch.float32, device="cpu")


def _whole_vectors(channels: int) -> int:
    return -(-channels // _LANES) * _LANES


def _has_room(fine: int, m: int) -> bool:
    """Whether the last vector of a group's channels has room for its coarse ones."""
    return _whole_vectors(fine + m) == _whole_vectors(fine)


def _padded_filters(filters: Tensor) -> Tensor:
    """Filters in memory order, float32, the last dimension padded by zeros to a multiple of 16."""
    width = filters.shape[-1]
    return F.pad(filters.float(), (0, _whole_vectors(width) - width)).contiguous()


def _padded(coarse: Tensor) -> Tensor:
    """C (c_out, 16), float32."""
    padded = coarse.new_zeros(len(coarse), MOST_COARSE, dtype=torch.float32)
    padded[:, : coarse.shape[1]] = coarse
    return padded


def _by_taps(restriction: Tensor) -> Tensor:
    """r (k_h, k_w, n m, c_in/n), float32."""
    return restriction.permute(2, 3, 0, 1).float().contiguous()


def _transposed(coarse: Tensor) -> Tensor:
    """C^T (n m, c_out), float32."""
    return coarse.T.float().contiguous()
