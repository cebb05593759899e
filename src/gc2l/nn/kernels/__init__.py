"""Passes over memory of GC-2L's coarse level in C, for float32 on processors with AVX-512.

The framework's products, copies and additions read and write the layer's input and output once each; these functions do
in one pass what belongs together. They are compiled when the package is installed, if there is a compiler that can;
`available` tells. Nothing depends on them but speed.

Images x are channels last. What belongs to outputs is a matrix with a row for each of the P = N H' W' pixels: y
(P, c_out), z (P, n m) with n m <= `MOST_COARSE`; C (c_out, n m), r (n m, c_in/n, k_h, k_w). `two_level_passes` has the
same functions for everything else.
"""

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from gc2l.nn.geometry import Geometry
from gc2l.nn.traced import is_watched

MOST_COARSE = 16
_BAND = 128  # pixels of x whose gradients stay in the innermost cache, two vectors of channels at a time

_long, _pointer, _int = ctypes.c_long, ctypes.c_void_p, ctypes.c_int
_ARGUMENTS: dict[str, list[Any]] = {
    "gc2l_add_coarse": [_long] * 3 + [_pointer] * 3,
    "gc2l_take_apart": [_long] * 4 + [_pointer] * 4,
    "gc2l_coarse_gradients": [_long] * 4 + [_pointer] * 6,
    "gc2l_restrict": [_pointer] * 5,
    "gc2l_restrict_backward": [*[_pointer] * 7, _long],
}


class _Layer(ctypes.Structure):
    """The struct `layer` of restriction.c."""

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


def restrict(x: Tensor, restriction: Tensor, geometry: Geometry) -> Tensor:
    """z = r x."""
    layer = _layer(x, restriction, geometry)
    z = x.new_empty(len(x) * layer.out_height * layer.out_width, layer.k)
    _call("restrict", ctypes.addressof(layer), x, _by_taps(restriction), x.new_zeros(x.shape[1]), z)
    return z


def add_coarse(y: Tensor, z: Tensor, coarse: Tensor) -> None:
    """y += C z in place."""
    _call("add_coarse", *y.shape, z.shape[1], y, z.contiguous(), coarse.T.contiguous())


def take_apart(both: Tensor, coarse: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """(y, z) from the output of the fused convolution, with A_j x_j and z_j beside each other; y = A x + C z."""
    c_out, k = coarse.shape
    y, z = both.new_empty(len(both), c_out), both.new_empty(len(both), k)
    _call("take_apart", len(both), c_out, c_out // groups, k // groups, both, coarse.T.contiguous(), y, z)
    return y, z


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
    layer, by_taps = _layer(x, restriction, geometry), _by_taps(restriction)
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


def _padded(coarse: Tensor) -> Tensor:
    """C (c_out, 16)."""
    padded = coarse.new_zeros(len(coarse), MOST_COARSE)
    padded[:, : coarse.shape[1]] = coarse
    return padded


def _by_taps(restriction: Tensor) -> Tensor:
    """r (k_h, k_w, n m, c_in/n)."""
    return restriction.permute(2, 3, 0, 1).contiguous()


def _layer(x: Tensor, restriction: Tensor, to: Geometry) -> _Layer:
    kernel = (restriction.shape[2], restriction.shape[3])
    size = (x.shape[2], x.shape[3])
    pairs = (kernel, to.stride, to.padding, to.dilation, to.output_size(size, kernel))
    return _Layer(len(x), *size, x.shape[1], to.groups, len(restriction), *(value for pair in pairs for value in pair))
