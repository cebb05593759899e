"""GC-2L in C, for float32 on processors with AVX-512: the coarse level's passes over memory, and the layer in one.

The framework's products, copies and additions read and write the layer's input and output once each; the passes do in
one what belongs together, beside whatever convolution computes A x. `convolve` is that convolution for 3 x 3 and stride
1, with the coarse level inside, or without one. All is compiled when the package is installed, if there is a compiler
that can; `available` tells. Nothing depends on it but speed.

Images x are channels last. What belongs to outputs is a matrix with a row for each of the P = N H' W' pixels: y
(P, c_out), z (P, n m) with n m <= `MOST_COARSE`; A (c_out, c_in/n, k_h, k_w), C (c_out, n m), r (n m, c_in/n, k_h,
k_w). `two_level_passes` has the passes for everything else.
"""

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.nn.geometry import Geometry
from gc2l.nn.pointwise import new_image
from gc2l.nn.traced import is_watched
from gc2l.nn.two_level_formulas import fused_weight

MOST_COARSE = 16
_LANES = 16
_BAND = 128  # pixels of x whose gradients stay in the innermost cache, two vectors of channels at a time

_long, _pointer, _int = ctypes.c_long, ctypes.c_void_p, ctypes.c_int
_ARGUMENTS: dict[str, list[Any]] = {
    "gc2l_add_coarse": [_long] * 3 + [_pointer] * 3,
    "gc2l_take_apart": [_long] * 4 + [_pointer] * 4,
    "gc2l_coarse_gradients": [_long] * 4 + [_pointer] * 6,
    "gc2l_restrict": [_pointer] * 5,
    "gc2l_restrict_backward": [*[_pointer] * 7, _long],
    "gc2l_convolve": [*[_pointer] * 8, _long],
    "gc2l_convolve_backward": [*[_pointer] * 11, _long],
}


class _Layer(ctypes.Structure):
    """The struct `layer` of passes.h."""

    _fields_: ClassVar = [(name, _long) for name in (
        "images", "height", "width", "c_in", "groups", "k", "k_h", "k_w", "stride_h", "stride_w", "padding_h",
        "padding_w", "dilation_h", "dilation_w", "out_height", "out_width",
    )]  # fmt: skip


@cache
def _library() -> ctypes.CDLL | None:
    found = find_spec("gc2l.nn.kernels.library")
    if found is None or found.origin is None or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return None
    library = ctypes.CDLL(found.origin)
    for name, arguments in _ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = [*arguments, _int], None
    library.gc2l_numbers_of_scratch.argtypes, library.gc2l_numbers_of_scratch.restype = [_pointer, _long], _long
    return library


def available() -> bool:
    """Whether the compiled functions are there and this processor can run them."""
    return _library() is not None


def serve(x: Tensor, weight: Tensor, coarse_channels: int) -> bool:
    """Whether they can be used for the image x, that weight, and n m = `coarse_channels`."""
    plain = x.device.type == "cpu" and x.dtype is torch.float32 and x.dim() == 4 and x.numel() > 0
    # Unlike the framework's passes these read the memory as it lies.
    plain = plain and x.is_contiguous(memory_format=torch.channels_last)
    return plain and coarse_channels <= MOST_COARSE and available() and not is_watched(x, weight)


def convolve_whole(x: Tensor, weight: Tensor, coarse_channels: int, to: Geometry) -> bool:
    """Whether `convolve` can be used."""
    plain = weight.shape[2:] == (3, 3) and to.stride == (1, 1) and to.dilation == (1, 1) and max(to.padding) <= 2
    return plain and min(to.output_size((x.shape[-2], x.shape[-1]), (3, 3))) > 0 and serve(x, weight, coarse_channels)


def convolve(
    x: Tensor, weight: Tensor, restriction: Tensor | None, coarse: Tensor | None, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """(y, z) with y = A x + C z and z = r x, y as an image; without r and C a group convolution."""
    c_out, groups = len(weight), geometry.groups
    layer = _layer(x, weight, geometry, 0 if coarse is None else coarse.shape[1])
    fine, m = c_out // groups, layer.k // groups
    y = new_image(x, c_out, (layer.out_height, layer.out_width))
    z = x.new_empty(y[:, 0].numel(), layer.k)
    filters, taps, transposed = weight, None, None
    if restriction is not None and coarse is not None:
        filters = fused_weight(weight, restriction, groups) if _has_room(fine, m) else weight
        taps, transposed = _by_taps(restriction), coarse.T.contiguous()
    filters = filters.view(groups, -1, *weight.shape[1:]).permute(0, 3, 4, 2, 1)  # (n, 3, 3, c_in/n, c_out/n [+ m])
    given = (x, _in_blocks(filters), taps, transposed, y, z)
    _call("convolve", ctypes.addressof(layer), *given, _scratch(layer, c_out), c_out)
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
    layer = _layer(x, weight, geometry, 0 if coarse is None else coarse.shape[1])
    fine, m, own = c_out // groups, layer.k // groups, weight.shape[1]
    both = weight if restriction is None else fused_weight(weight, restriction, groups)
    filters = both.view(groups, fine + m, own, 3, 3).flip(3, 4).permute(0, 3, 4, 1, 2)  # (n, 3, 3, c_out/n + m, c_in/n)
    x_gradient = torch.empty_like(x, memory_format=torch.channels_last)
    found = _parts(groups, 9, _whole_blocks(own), _whole_blocks(fine))
    found_r, found_c = _parts(groups, 9, m, _whole_blocks(own)), _parts(layer.k, c_out)
    padded = None if coarse is None else _padded(coarse)
    given = (x, gradient, z, _in_blocks(filters), padded, x_gradient, found, found_r, found_c)
    _call("convolve_backward", ctypes.addressof(layer), *given, _scratch(layer, c_out), c_out)
    filters_gradient = found.sum(0)[:, :, :own].permute(0, 3, 2, 1)  # (n, c_out/n and more, c_in/n, 9)
    if _has_room(fine, m):
        r_gradient = filters_gradient[:, fine : fine + m]
    else:
        r_gradient = found_r.sum(0)[..., :own].permute(0, 2, 3, 1)
    weight_gradient = filters_gradient[:, :fine].reshape(weight.shape)
    return x_gradient, weight_gradient, r_gradient.reshape(-1, own, 3, 3), found_c.sum(0).T


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x."""
    layer = _layer(x, restriction, geometry, len(restriction))
    z = x.new_empty(len(x) * layer.out_height * layer.out_width, layer.k)
    _call("restrict", ctypes.addressof(layer), x, _by_taps(restriction), x.new_zeros(x.shape[1]), z)
    return z


def add_coarse(y: Tensor, z: Tensor, coarse: Tensor) -> None:
    """y += C z in place."""
    _call("add_coarse", *y.shape, z.shape[1], y, z.contiguous(), coarse.T.contiguous())


def take_apart(both: Tensor, coarse: Tensor, groups: int, y: Tensor) -> Tensor:
    """z from the output of the fused convolution, with A_j x_j and z_j beside each other; y = A x + C z is written."""
    c_out, k = coarse.shape
    z = both.new_empty(len(both), k)
    _call("take_apart", len(both), c_out, c_out // groups, k // groups, both, coarse.T.contiguous(), y, z)
    return z


def coarse_gradients(gradient: Tensor, z: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of z and C from that of y."""
    z_gradient = z.new_empty(z.shape)
    return z_gradient, _coarse_gradients(gradient, z, coarse, 1, z_gradient, None)


def put_together(gradient: Tensor, z: Tensor, coarse: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """The gradients of `take_apart`'s `both` and of C from that of y."""
    both = z.new_empty(len(z), sum(coarse.shape))
    return both, _coarse_gradients(gradient, z, coarse, groups, None, both)


def restrict_backward(
    z_gradient: Tensor, x: Tensor, restriction: Tensor, geometry: Geometry, x_gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The gradients of x and r from that of z; that of x is added to `x_gradient`, in place, where it is given."""
    if x_gradient is None:
        x_gradient = torch.empty_like(x, memory_format=torch.channels_last).zero_()
    layer, by_taps = _layer(x, restriction, geometry, len(restriction)), _by_taps(restriction)
    found = _parts(*by_taps.shape)
    band = max(1, min(_BAND // layer.width, layer.height))
    length = layer.width + layer.dilation_w * (layer.k_w - 1)
    scratch = x.new_empty(len(found), band, layer.k_h, length, layer.k)
    given = (x, by_taps, z_gradient.contiguous(), x_gradient, found, scratch)
    _call("restrict_backward", ctypes.addressof(layer), *given, band)
    return x_gradient, found.sum(0).permute(2, 3, 0, 1)


def _coarse_gradients(
    gradient: Tensor, z: Tensor, coarse: Tensor, groups: int, z_gradient: Tensor | None, both: Tensor | None
) -> Tensor:
    """The gradient of C; that of z is written to one of the last two."""
    c_out, k = coarse.shape
    found = _parts(k, c_out)
    sizes = (len(z), c_out, c_out // groups, k // groups)
    _call("coarse_gradients", *sizes, gradient, z.contiguous(), _padded(coarse), z_gradient, both, found)
    return found.sum(0).T


def _call(name: str, *arguments: Tensor | int | None) -> None:
    given = [argument.data_ptr() if isinstance(argument, Tensor) else argument for argument in arguments]
    getattr(_library(), f"gc2l_{name}")(*given, torch.get_num_threads())


def _parts(*shape: int) -> Tensor:
    """Zeros for every thread to add to."""
    return torch.zeros(torch.get_num_threads(), *shape)


def _scratch(layer: _Layer, c_out: int) -> Tensor:
    library = _library()
    assert library is not None
    numbers = library.gc2l_numbers_of_scratch(ctypes.addressof(layer), c_out)
    return torch.empty(torch.get_num_threads(), numbers)


def _whole_blocks(channels: int) -> int:
    return -(-channels // _LANES) * _LANES


def _has_room(fine: int, m: int) -> bool:
    """Whether the last vector of a group's channels has room for its coarse ones."""
    return _whole_blocks(fine + m) == _whole_blocks(fine)


def _in_blocks(filters: Tensor) -> Tensor:
    """Filters in memory order, the last dimension padded by zeros to a multiple of 16."""
    width = filters.shape[-1]
    return F.pad(filters, (0, _whole_blocks(width) - width)).contiguous()


def _padded(coarse: Tensor) -> Tensor:
    """C (c_out, 16)."""
    padded = coarse.new_zeros(len(coarse), MOST_COARSE)
    padded[:, : coarse.shape[1]] = coarse
    return padded


def _by_taps(restriction: Tensor) -> Tensor:
    """r (k_h, k_w, n m, c_in/n)."""
    return restriction.permute(2, 3, 0, 1).contiguous()


def _layer(x: Tensor, filters: Tensor, to: Geometry, coarse_channels: int) -> _Layer:
    kernel = (filters.shape[2], filters.shape[3])
    size = (x.shape[2], x.shape[3])
    pairs = (kernel, to.stride, to.padding, to.dilation, to.output_size(size, kernel))
    return _Layer(len(x), *size, x.shape[1], to.groups, coarse_channels, *(value for pair in pairs for value in pair))
