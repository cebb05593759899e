"""The convolution of grouped.c: weights packed once, for processors with AVX-512."""

import ctypes
from functools import cache, lru_cache, partial
from weakref import WeakValueDictionary

from torch import Tensor

from gc2l.edge.grouped import GroupedConvolution
from gc2l.edge.plan import Plan
from gc2l.ops.cpu.loader import open_library, threads


@cache
def library() -> ctypes.CDLL | None:
    """The library of grouped.c, see `gc2l.ops.cpu.loader.open_library`."""
    loaded = open_library("gc2l.edge.library")
    if loaded is None:
        return None
    loaded.gc2l_edge_convolve.argtypes = [*[ctypes.c_void_p] * 5, ctypes.c_long, ctypes.c_int]
    loaded.gc2l_edge_convolve.restype = None
    return loaded


SHAPES = 8
"""For so many shapes of the input, the last ones, a layer keeps what was prepared."""


class CompiledKernel:
    """`GroupedConvolution` computed by the library, prepared for each of the last `SHAPES` shapes of the input.

    Shapes that cut the filters into the same number of blocks have one copy of the packed weights.
    """

    def __init__(self, convolution: GroupedConvolution) -> None:
        self.convolution = convolution
        loaded = library()
        assert loaded is not None
        self._convolve = loaded.gc2l_edge_convolve
        self.plan = lru_cache(SHAPES)(partial(Plan, convolution, WeakValueDictionary()))

    def __call__(self, x: Tensor) -> Tensor:
        """The output (N, c_out, H', W') for x (N, c_in, H, W)."""
        if any(self.convolution.padding):
            x = self.convolution.padded(x)
        if not x.is_contiguous():
            x = x.contiguous()
        plan = self.plan(x.shape)
        y = x.new_empty(plan.shape)
        used = threads()
        copies = used * plan.copies
        if copies or plan.coarse:
            scratch = x.new_empty(copies + plan.coarse)
            first = scratch.data_ptr()
        else:
            first = 0
        self._convolve(plan.address, x.data_ptr(), y.data_ptr(), first + 4 * copies, first, plan.copies, used)
        return y
