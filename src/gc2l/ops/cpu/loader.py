"""The C library, compiled when the package is installed if there is a compiler, used if the processor has AVX-512.

It can be loaded on every processor, and says itself whether this one can run its functions.
"""

import ctypes
import os
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from gc2l.ops.geometry import Geometry

_long, _pointer, _int = ctypes.c_long, ctypes.c_void_p, ctypes.c_int
_ARGUMENTS: dict[str, list[Any]] = {
    "add_coarse": [_long] * 3 + [_pointer] * 3,
    "split_fused": [_long] * 4 + [_pointer] * 4,
    "coarse_gradients": [_long] * 4 + [_pointer] * 6,
    "restrict": [_pointer] * 5,
    "restrict_backward": [*[_pointer] * 7, _long],
    "convolve": [*[_pointer] * 8, _long],
    "convolve_backward": [*[_pointer] * 11, _long],
}
# For bfloat16 alone.
_MORE_ARGUMENTS: dict[str, list[Any]] = {
    "split": [_long] * 4 + [_pointer] * 3,
    "join": [_long] * 4 + [_pointer] * 3,
}
# How images are stored, and what the functions for them are called.
_SUFFIXES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
DTYPES = tuple(_SUFFIXES)

_process_with_threads: int | None = None


class Layer(ctypes.Structure):
    """The struct `layer` of layer.h."""

    _fields_: ClassVar = [(name, _long) for name in (
        "images", "height", "width", "c_in", "groups", "k", "k_h", "k_w", "stride_h", "stride_w", "padding_h",
        "padding_w", "dilation_h", "dilation_w", "out_height", "out_width",
    )]  # fmt: skip


def layer_of(x: Tensor, weight: Tensor, geometry: Geometry, coarse_channels: int) -> Layer:
    """The sizes of a convolution of the image x with filters of the size of `weight`'s, and n m coarse channels.

    Raises:
        RuntimeError: another number of channels than the filters are for; C would read what is not x's.
    """
    if x.shape[1] != geometry.in_channels(weight):
        raise RuntimeError(
            f"x has {x.shape[1]} channels, filters {tuple(weight.shape)} in {geometry.groups} groups are for "
            f"{geometry.in_channels(weight)}"
        )
    kernel, size = (weight.shape[2], weight.shape[3]), (x.shape[2], x.shape[3])
    pairs = (kernel, geometry.stride, geometry.padding, geometry.dilation, geometry.output_size(size, kernel))
    numbers = (number for pair in pairs for number in pair)
    return Layer(len(x), *size, x.shape[1], geometry.groups, coarse_channels, *numbers)


def open_library(module: str) -> ctypes.CDLL | None:
    """A compiled library of the package, or None where it was not compiled or the processor has no AVX-512.

    PyTorch's `ATEN_CPU_CAPABILITY` is followed: set to less than AVX-512, it turns the library off, too.
    """
    found = find_spec(module)
    if found is None or found.origin is None or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return None
    loaded = ctypes.CDLL(found.origin)
    return loaded if loaded.gc2l_runs_here() else None


@cache
def library() -> ctypes.CDLL | None:
    """The library of this room, see `open_library`."""
    loaded = open_library("gc2l.ops.cpu.library")
    if loaded is None:
        return None
    for dtype, suffix in _SUFFIXES.items():
        more = _MORE_ARGUMENTS if dtype is torch.bfloat16 else {}
        for name, arguments in (_ARGUMENTS | more).items():
            function = getattr(loaded, f"gc2l_{name}_{suffix}")
            function.argtypes, function.restype = [*arguments, _int], None
        size = getattr(loaded, f"gc2l_scratch_size_{suffix}")
        size.argtypes, size.restype = [_pointer, _long], _long
    return loaded


def threads() -> int:
    """PyTorch's number of threads; one in a process forked after several have been used.

    OpenMP's threads are not forked, and GCC's would be waited for without end.
    """
    global _process_with_threads  # noqa: PLW0603
    wanted = torch.get_num_threads()
    if wanted == 1:
        return 1
    if _process_with_threads is None:
        _process_with_threads = os.getpid()
    return wanted if _process_with_threads == os.getpid() else 1


def call(name: str, dtype: torch.dtype, *arguments: Tensor | ctypes.Structure | int | None) -> None:
    """Call the function of that name for images of this type, with `threads`."""
    passed = [_passed(argument) for argument in arguments]
    getattr(library(), f"gc2l_{name}_{_SUFFIXES[dtype]}")(*passed, threads())


def scratch(layer: Layer, c_out: int, dtype: torch.dtype) -> Tensor:
    """Memory for the threads of `convolve` or `convolve_backward`."""
    size = getattr(library(), f"gc2l_scratch_size_{_SUFFIXES[dtype]}")
    return torch.empty(torch.get_num_threads(), size(ctypes.addressof(layer), c_out), dtype=torch.float32, device="cpu")


def _passed(argument: Tensor | ctypes.Structure | int | None) -> int | None:
    if isinstance(argument, Tensor):
        return argument.data_ptr()
    return ctypes.addressof(argument) if isinstance(argument, ctypes.Structure) else argument
