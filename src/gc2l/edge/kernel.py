"""The convolution of grouped.c: weights packed once, for processors with AVX-512."""

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.edge.grouped import GroupedConvolution
from gc2l.ops.cpu.loader import threads

_LANES = 16
_VECTORS = (8, 8, 7, 5, 4, 4, 3, 3, 2, 2, 2, 2)  # of pixels in a tile of 1, 2, ... filters
_NAMES = (
    "images", "height", "width", "c_in", "c_out", "k", "groups", "channels", "filters", "k_h", "k_w", "stride_h",
    "stride_w", "padding_h", "padding_w", "dilation_h", "dilation_w", "out_height", "out_width", "relu", "copied",
    "block", "plane",
)  # fmt: skip
_TABLES = ("from", "to", "offsets", "coarse_offsets", "weights", "coarse_weights", "bias")


class _Convolution(ctypes.Structure):
    """The struct `convolution` of grouped.c."""

    _fields_: ClassVar = [
        *((name, ctypes.c_long) for name in _NAMES),
        *((name, ctypes.c_void_p) for name in _TABLES),
        ("coarse_block", ctypes.c_long),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The library, or None where it was not compiled or the processor has no AVX-512."""
    found = find_spec("gc2l.edge.library")
    if found is None or found.origin is None or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return None
    loaded = ctypes.CDLL(found.origin)
    loaded.gc2l_edge_convolve.argtypes = [*[ctypes.c_void_p] * 5, ctypes.c_int]
    loaded.gc2l_edge_convolve.restype = None
    return loaded


def filters_in_a_tile(filters: int, pixels: int) -> int:
    """How many of a group's filters are computed together: of all tiles those that take the fewest instructions."""

    def cost(block: int) -> float:
        vectors = _VECTORS[block - 1]
        tiles = -(-filters // block) * -(-pixels // (_LANES * vectors))
        # Two products are done at once, and one or two loads; four instructions keep the loop going.
        return tiles * max(block * vectors / 2, (block + vectors) / 2, (block * vectors + block + vectors + 4) / 6, 4)

    return min(range(1, len(_VECTORS) + 1), key=lambda block: (cost(block), -block))


class CompiledKernel:
    """`GroupedConvolution` computed by the library. Sizes are prepared once for each height and width."""

    def __init__(self, convolution: GroupedConvolution) -> None:
        self.convolution = convolution
        loaded = library()
        assert loaded is not None
        self._convolve = loaded.gc2l_edge_convolve
        self._plans: dict[tuple[int, int, int], tuple[_Convolution, list[Tensor]]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """The output (N, c_out, H', W') for x (N, c_in, H, W)."""
        x = self.convolution.padded(x).contiguous()
        size = x.shape[0], x.shape[2], x.shape[3]
        found = self._plans.get(size)
        if found is None:
            found = self._plans[size] = _plan(self.convolution, x)
        plan, _ = found
        y = x.new_empty(size[0], plan.c_out, plan.out_height, plan.out_width)
        used = threads()
        copies = used * plan.channels * plan.plane
        needed = copies + size[0] * plan.k * plan.out_height * plan.out_width
        scratch = x.new_empty(needed) if needed else x  # the library does not touch it then
        first = scratch.data_ptr()
        self._convolve(ctypes.addressof(plan), x.data_ptr(), y.data_ptr(), first + 4 * copies, first, used)
        return y


def _plan(of: GroupedConvolution, x: Tensor) -> tuple[_Convolution, list[Tensor]]:
    """Sizes and tables, and the tensors that they lie in."""
    geometry, (k_h, k_w) = of.geometry, of.kernel
    n, channels, (height, width) = geometry.groups, of.weight.shape[1], (x.shape[2], x.shape[3])
    out_height, out_width = geometry.output_size((height, width), of.kernel)
    if out_height < 1 or out_width < 1:
        raise ValueError(
            f"an input of {height} x {width} pixels is smaller than the kernel {of.kernel} with {geometry}"
        )
    pixels = out_height * out_width
    m = 0 if of.restriction is None else len(of.restriction) // n
    both = of.filters()
    filters = both.shape[1]
    block = filters_in_a_tile(filters, pixels)
    plain = (k_h, k_w) == geometry.stride == (1, 1) and geometry.padding == (0, 0)
    copied = not plain or (of.inputs is not None and bool((of.inputs < 0).any()))
    # The rows of the padded image that the taps see, by their remainder.
    rows = out_height + (geometry.dilation[0] * (k_h - 1)) // geometry.stride[0]
    plane = k_w * geometry.stride[0] * rows * out_width if copied else 0
    source = torch.arange(n * channels) if of.inputs is None else of.inputs
    if copied:
        across = torch.arange(k_w) * geometry.stride[0] * rows * out_width
        down = torch.arange(k_h) * geometry.dilation[0]
        down = (down % geometry.stride[0]) * rows * out_width + down // geometry.stride[0] * out_width
        offsets = (torch.arange(channels) * plane)[:, None, None] + down[:, None] + across
    else:
        offsets = source * pixels
    to = _rows_of_output(of, filters - m, m)
    tables = {
        "from": source,
        "to": to,
        "offsets": offsets.flatten().contiguous(),
        "weights": _blocks(both.flatten(2), block),
        "bias": x.new_zeros(of.c_out) if of.bias is None else of.bias,
    }
    if m:
        tables["coarse_offsets"] = torch.arange(n * m) * pixels
    coarse_block = filters_in_a_tile(of.c_out, pixels)
    if of.coarse is not None:
        tables["coarse_weights"] = _blocks(of.coarse[None], coarse_block)
    numbers: tuple[Any, ...] = (
        len(x), height, width, x.shape[1], of.c_out, n * m, n, channels, filters, k_h, k_w, *geometry.stride,
        *geometry.padding, *geometry.dilation, out_height, out_width, of.relu, copied, block, plane,
    )  # fmt: skip
    pointers = {name: tables[name].data_ptr() if name in tables else None for name in _TABLES}
    return _Convolution(*numbers, *pointers.values(), coarse_block), list(tables.values())


def _rows_of_output(of: GroupedConvolution, own: int, m: int) -> Tensor:
    """(n (K + m)) the output channel of each filter; those of z follow c_out, and -1 is for none."""
    n = of.geometry.groups
    fine = torch.full((n * own,), -1)
    outputs = torch.arange(n * own) if of.outputs is None else of.outputs
    fine[outputs] = torch.arange(of.c_out)
    coarse = of.c_out + torch.arange(n * m)
    return torch.cat((fine.view(n, own), coarse.view(n, m)), 1).flatten().contiguous()


def _blocks(filters: Tensor, block: int) -> Tensor:
    """Filters (n, K, terms) as (n, blocks, terms, block), padded by zeros."""
    n, count, terms = filters.shape
    padded = F.pad(filters, (0, 0, 0, -count % block))
    return padded.view(n, -1, block, terms).transpose(2, 3).contiguous()
