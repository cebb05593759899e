"""The C library, compiled when the package is installed if there is a compiler, loaded if the processor has AVX-512."""

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from gc2l.ops.geometry import Geometry

_long, _pointer, _int = ctypes.c_long, ctypes.c_void_p, ctypes.c_int
_ARGUMENTS: dict[str, list[Any]] = {
    "gc2l_add_coarse": [_long] * 3 + [_pointer] * 3,
    "gc2l_split_fused": [_long] * 4 + [_pointer] * 4,
    "gc2l_coarse_gradients": [_long] * 4 + [_pointer] * 6,
    "gc2l_restrict": [_pointer] * 5,
    "gc2l_restrict_backward": [*[_pointer] * 7, _long],
    "gc2l_convolve": [*[_pointer] * 8, _long],
    "gc2l_convolve_backward": [*[_pointer] * 11, _long],
}


class Layer(ctypes.Structure):
    """The struct `layer` of layer.h."""

    _fields_: ClassVar = [(name, _long) for name in (
        "images", "height", "width", "c_in", "groups", "k", "k_h", "k_w", "stride_h", "stride_w", "padding_h",
        "padding_w", "dilation_h", "dilation_w", "out_height", "out_width",
    )]  # fmt: skip


def layer_of(x: Tensor, weight: Tensor, geometry: Geometry, coarse_channels: int) -> Layer:
    """The sizes of a convolution of the image x with filters of the size of `weight`'s, and n m coarse channels."""
    kernel, size = (weight.shape[2], weight.shape[3]), (x.shape[2], x.shape[3])
    pairs = (kernel, geometry.stride, geometry.padding, geometry.dilation, geometry.output_size(size, kernel))
    numbers = (number for pair in pairs for number in pair)
    return Layer(len(x), *size, x.shape[1], geometry.groups, coarse_channels, *numbers)


@cache
def library() -> ctypes.CDLL | None:
    """The library, or None where it was not compiled or the processor has no AVX-512."""
    found = find_spec("gc2l.ops.cpu.library")
    if found is None or found.origin is None or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return None
    loaded = ctypes.CDLL(found.origin)
    for name, arguments in _ARGUMENTS.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = [*arguments, _int], None
    loaded.gc2l_scratch_size.argtypes, loaded.gc2l_scratch_size.restype = [_pointer, _long], _long
    return loaded


def call(name: str, *arguments: Tensor | ctypes.Structure | int | None) -> None:
    """Call gc2l_`name` with PyTorch's number of threads."""
    passed = [_passed(argument) for argument in arguments]
    getattr(library(), f"gc2l_{name}")(*passed, torch.get_num_threads())


def scratch(layer: Layer, c_out: int) -> Tensor:
    """Memory for the threads of gc2l_convolve or gc2l_convolve_backward."""
    loaded = library()
    assert loaded is not None
    return torch.empty(torch.get_num_threads(), loaded.gc2l_scratch_size(ctypes.addressof(layer), c_out))


def _passed(argument: Tensor | ctypes.Structure | int | None) -> int | None:
    if isinstance(argument, Tensor):
        return argument.data_ptr()
    return ctypes.addressof(argument) if isinstance(argument, ctypes.Structure) else argument
