"""The grouped convolution with GC-2L's coarse level on tensors: what to launch, in which order, on which tiles.

x (N, c_in, H, W) and everything of its kind is channels last. A (c_out, c_in/n, k_h, k_w), r (n m, c_in/n, k_h, k_w),
C (c_out, n m, 1, 1) and the bias (c_out) may have another type; their gradients have theirs, products x's.

Forward: the filters are laid out, A x and z = r x are written by one kernel, C z is added by another; z needs all
groups before any output can be finished, and reading y again costs less than reading x once more under all taps.
Backward: one kernel reads y's gradient for those of z and C; then those of x, and of A and r together.
"""

from typing import Any

import torch
import triton
from torch import Tensor

from gc2l.ops.cuda import coarse as coarse_kernels
from gc2l.ops.cuda import packing, tuning
from gc2l.ops.cuda.blocks import LANE, Blocks, blocks_of
from gc2l.ops.cuda.folding import as_kernels_read, given, tap_strides
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import new_image

_PACKED = 1024  # numbers that a program lays out
_UNPACKED = 128  # and takes apart
_PROGRAMS = 264  # where there is a choice: about two for each multiprocessor of a large card
_LEAST_PIXELS = 512  # of one split


def convolve(
    x: Tensor, weight: Tensor, restriction: Tensor | None, coarse: Tensor | None, bias: Tensor | None, to: Geometry
) -> tuple[Tensor, Tensor]:
    """(y, z): y = A x + C z + bias as an image; z = r x as the kernels want it, empty without r and C."""
    weight, restriction, coarse = as_kernels_read(weight, restriction, coarse)
    bias = None if bias is None else bias.contiguous()
    blocks = blocks_of(weight, restriction, to.groups)
    size = to.output_size((x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]))
    y = new_image(x, len(weight), size)
    z = new_image(x, blocks.number * blocks.coarse_span, size)
    filters, flag = _pack(weight, restriction, blocks, x.dtype, transposed=False)
    _convolve(x, None, filters, bias, y, z, flag, weight, blocks, blocks, to, transposed=False)
    if coarse is not None:
        grid = (triton.cdiv(_pixels(y), 128) * triton.cdiv(len(weight), 64),)
        tuning.launch(
            coarse_kernels.add, grid, y, z, coarse, *_coarse_sizes(y, blocks), PRECISION=_precision(x), BLOCK_M=128,
            BLOCK_V=64, BLOCK_Z=_coarse_tile(blocks), num_warps=4,
        )  # fmt: skip
    return y, z


def convolve_backward(
    gradient: Tensor,
    x: Tensor,
    z: Tensor | None,
    weight: Tensor,
    restriction: Tensor | None,
    coarse: Tensor | None,
    to: Geometry,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The gradients of x, A, r and C from that of y, an image, and the z of `convolve`."""
    weight, restriction, coarse = as_kernels_read(weight, restriction, coarse)
    blocks = blocks_of(weight, restriction, to.groups)
    z_gradient, restriction_gradient, coarse_gradient = None, None, None
    if z is not None and coarse is not None:
        z_gradient, coarse_gradient = _coarse_backward(gradient, z, coarse, blocks)
    filters, flag = _pack(weight, restriction, blocks, x.dtype, transposed=True)
    x_gradient = new_image(x, x.shape[1], x.shape[2:])
    back = blocks.transposed()
    _convolve(gradient, z_gradient, filters, None, x_gradient, None, flag, weight, back, blocks, to, transposed=True)
    parts = _weight_gradient(x, gradient, z_gradient, weight, blocks, to)
    weight_gradient = torch.empty_like(weight)
    _unpack(parts, weight_gradient, blocks, blocks.outer, 0)
    if restriction is not None:
        restriction_gradient = torch.empty_like(restriction)
        _unpack(parts, restriction_gradient, blocks, blocks.m, blocks.coarse_column)
    return x_gradient, weight_gradient, restriction_gradient, coarse_gradient


def _convolve(
    source: Tensor,
    source_coarse: Tensor | None,
    filters: Tensor,
    bias: Tensor | None,
    target: Tensor,
    target_coarse: Tensor | None,
    flag: Tensor,
    weight: Tensor,
    blocks: Blocks,
    forward: Blocks,
    to: Geometry,
    *,
    transposed: bool,
) -> None:
    phases = to.stride[0] * to.stride[1] if transposed else 1
    height, width = target.shape[2:]
    if transposed:
        height, width = triton.cdiv(height, to.stride[0]), triton.cdiv(width, to.stride[1])
    pixels, columns = len(target) * height * width, blocks.columns

    def grid(sizes: dict[str, Any]) -> tuple[int, int]:
        tiles = triton.cdiv(pixels, sizes["BLOCK_M"]) * triton.cdiv(columns, sizes["BLOCK_V"])
        return tiles * blocks.number, phases

    arguments = (
        source, given(source_coarse, source), filters, given(bias, source), target, given(target_coarse, source), flag,
        len(source), *source.shape[2:], *target.shape[2:], *_units(blocks), to.groups, blocks.inner, blocks.outer,
        forward.m, blocks.rows // 16, blocks.coarse_column // 8, forward.coarse_span // 4, columns // 8,
        *to.padding, *to.dilation,
    )  # fmt: skip
    constants = _constants(source, weight, blocks, forward, to) | {"TRANSPOSED": transposed, "BIAS": bias is not None}
    tuning.launch(tuning.convolve, grid, *arguments, **constants, EXACT=False, WATCH=not blocks.separates)
    if not blocks.separates:
        exactly = constants | {"EXACT": True, "WATCH": False} | tuning.EXACT
        tuning.launch(tuning.convolve.fn, (_PROGRAMS, phases), *arguments, **exactly)


def _weight_gradient(
    x: Tensor, gradient: Tensor, z_gradient: Tensor | None, weight: Tensor, blocks: Blocks, to: Geometry
) -> Tensor:
    """The gradients of the filters as they are laid out, in parts for stretches of the output's pixels."""
    taps = weight[0, 0].numel()
    pixels = _pixels(gradient)
    tiles = blocks.number * triton.cdiv(taps * blocks.rows, 128) * triton.cdiv(blocks.fine, 64)
    splits = max(1, min(_PROGRAMS // tiles, pixels // _LEAST_PIXELS))
    of_split = triton.cdiv(triton.cdiv(pixels, splits), 64) * 64
    splits = triton.cdiv(pixels, of_split)
    parts = x.new_empty(splits, blocks.number, taps, blocks.rows, blocks.columns, dtype=torch.float32)

    def grid(sizes: dict[str, Any]) -> tuple[int, int]:
        row_tiles = triton.cdiv(taps * blocks.rows, sizes["BLOCK_Q"])
        return blocks.number * row_tiles * triton.cdiv(blocks.fine, sizes["BLOCK_V"]), splits

    tuning.launch(
        tuning.weight_gradient, grid, x, gradient, given(z_gradient, x), parts, len(x), *x.shape[2:],
        *gradient.shape[2:], *_units(blocks), to.groups, blocks.inner, blocks.rows // 16, blocks.coarse_column // 8,
        blocks.coarse_span // 4, blocks.columns // 8, *to.padding, *to.dilation, of_split,
        **_constants(x, weight, blocks, blocks, to), BLOCK_Z=max(16, triton.next_power_of_2(blocks.coarse_span)),
    )  # fmt: skip
    return parts


def _coarse_backward(gradient: Tensor, z: Tensor, coarse: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor]:
    """The gradients of z and C."""
    tiles, tile = triton.cdiv(_pixels(gradient), 256), _coarse_tile(blocks)
    z_gradient = torch.empty_like(z)
    parts = z.new_empty(tiles, *coarse.shape, dtype=torch.float32)
    grid = (tiles, triton.cdiv(blocks.number * blocks.coarse_span, tile))
    tuning.launch(
        coarse_kernels.gradients, grid, gradient, z, coarse, z_gradient, parts, *_coarse_sizes(gradient, blocks),
        PRECISION=_precision(z), BLOCK_M=256, BLOCK_V=32, BLOCK_Z=tile, num_warps=8,
    )  # fmt: skip
    return z_gradient, parts.sum(0).to(coarse.dtype)


def _pack(
    weight: Tensor, restriction: Tensor | None, blocks: Blocks, dtype: torch.dtype, *, transposed: bool
) -> tuple[Tensor, Tensor]:
    """The filters as the kernels want them, and a zero."""
    taps, to = weight[0, 0].numel(), blocks.transposed() if transposed else blocks
    filter_rows = to.rows + (blocks.coarse_span if transposed else 0)
    filters = weight.new_empty(blocks.number, taps, filter_rows, to.columns, dtype=dtype)
    flag, r = torch.empty(1, dtype=torch.int32, device=weight.device), given(restriction, weight)
    tuning.launch(
        packing.pack, (triton.cdiv(filters.numel(), _PACKED),), weight, r, filters, flag, filters.numel(),
        blocks.groups, blocks.merged, blocks.inner, blocks.outer, blocks.m, taps, filter_rows, to.rows, to.columns,
        blocks.coarse_column, to.alignment, *tap_strides(weight), *tap_strides(r), TRANSPOSED=transposed,
        COARSE=restriction is not None, BLOCK=_PACKED,
    )  # fmt: skip
    return filters, flag


def _unpack(parts: Tensor, found: Tensor, blocks: Blocks, of_group: int, first_column: int) -> None:
    tuning.launch(
        packing.unpack, (triton.cdiv(found.numel(), _UNPACKED),), parts, found, len(parts), found.numel(),
        parts[0].numel(), blocks.merged, blocks.inner, of_group, found[0, 0].numel(), blocks.rows, blocks.columns,
        first_column, blocks.alignment, *tap_strides(found), SPLITS=8, BLOCK=_UNPACKED,
    )  # fmt: skip


def _constants(source: Tensor, weight: Tensor, blocks: Blocks, forward: Blocks, to: Geometry) -> dict[str, Any]:
    return {
        "ALIGN_IN": blocks.alignment,
        "ALIGN_OUT": _align_out(blocks),
        "K_H": weight.shape[2],
        "K_W": weight.shape[3],
        "STRIDE_H": to.stride[0],
        "STRIDE_W": to.stride[1],
        "MERGED": blocks.merged,
        "COARSE": forward.m > 0,
        "PRECISION": _precision(source),
        "CARD": torch.cuda.get_device_name(source.device) if source.is_cuda else "none",
    }


def _units(blocks: Blocks) -> tuple[int, int, int]:
    align = _align_out(blocks)
    return blocks.inner * blocks.groups // blocks.alignment, blocks.outer * blocks.groups // align, blocks.fine // align


def _align_out(blocks: Blocks) -> int:
    """A power of two that divides the output channels and where each block's are written to."""
    channels = blocks.outer * blocks.groups
    return next(unit for unit in (LANE, 4, 2, 1) if channels % unit == 0 and blocks.fine % unit == 0)


def _coarse_sizes(y: Tensor, blocks: Blocks) -> tuple[int, ...]:
    align = 8 if y.shape[1] % 8 == 0 else 1
    width = blocks.number * blocks.coarse_span
    sizes = (_pixels(y), y.shape[1] // align, width // 4, blocks.groups * blocks.m, blocks.merged * blocks.m)
    return *sizes, blocks.coarse_span, align


def _coarse_tile(blocks: Blocks) -> int:
    return min(64, max(16, triton.next_power_of_2(blocks.number * blocks.coarse_span)))


def _precision(x: Tensor) -> str:
    """Products of float32 as the framework's convolutions have them."""
    settings: Any = torch.backends.cudnn
    exact = x.dtype is torch.float32 and settings.conv.fp32_precision == "ieee"
    return "ieee" if exact else "tf32"


def _pixels(x: Tensor) -> int:
    return len(x) * x.shape[2] * x.shape[3]
