"""A layer folded into the dense weight that it equals, in Triton: one kernel forward, one backward.

dense[j, i] = delta_ij A_j + C_j[:, i] r_i, written in the type and memory order that the convolution wants. The
framework takes a dozen kernels for it, in the type of the parameters.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from gc2l.ops.cuda.tuning import launch

_BLOCK = 1024  # numbers of one program
_OF_RESTRICTION = 64, 32  # output channels summed over at once, input channels of a program
_OF_COARSE = 16, 128  # output channels of a program, numbers summed over at once


@triton.jit
def fold(
    weight,
    restriction,
    coarse,
    dense,  # (c_out, taps, c_in), or (c_out, c_in, taps)
    numbers,
    own_in,
    own_out,
    groups,
    taps,
    m,
    weight_out,  # strides: output channel, input channel, tap
    weight_in,
    weight_tap,
    restriction_out,
    restriction_in,
    restriction_tap,
    dense_out,
    dense_in,
    dense_tap,
    COARSE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Every number of the dense weight."""
    c_in = own_in * groups
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    i, tap, o = e % c_in, e // c_in % taps, e // c_in // taps
    group, own = i // own_in, i % own_in
    there = e < numbers
    diagonal = there & (o // own_out == group)
    value = tl.load(weight + o * weight_out + own * weight_in + tap * weight_tap, diagonal, other=0.0).to(tl.float32)
    if COARSE:
        for k in range(m):
            channel = group * m + k
            r = tl.load(
                restriction + channel * restriction_out + own * restriction_in + tap * restriction_tap, there, other=0.0
            )
            c = tl.load(coarse + o * (groups * m) + channel, there, other=0.0)
            value += c.to(tl.float32) * r.to(tl.float32)
    tl.store(dense + o * dense_out + i * dense_in + tap * dense_tap, value.to(dense.dtype.element_ty), there)


@triton.jit
def fold_backward(
    gradient,
    restriction,
    coarse,
    weight_gradient,
    restriction_gradient,
    coarse_gradient,
    own_in,
    own_out,
    groups,
    taps,
    m,
    weight_out,
    weight_in,
    weight_tap,
    restriction_out,
    restriction_in,
    restriction_tap,
    gradient_out,
    gradient_in,
    gradient_tap,
    COARSE: tl.constexpr,
    BLOCK: tl.constexpr,
    SUMMED: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    NUMBERS: tl.constexpr,
):
    """The gradients of A, r and C from that of the dense weight.

    Programs, one after the other: copies of BLOCK numbers each for A; COLUMNS input channels of one tap for one r; and
    CHANNELS output channels for one column of C.
    """
    c_out = own_out * groups
    numbers = c_out * own_in * taps
    copies = (numbers + BLOCK - 1) // BLOCK
    column_tiles = (own_in + COLUMNS - 1) // COLUMNS
    sums = groups * m * taps * column_tiles if COARSE else 0
    program = tl.program_id(0)
    if program < copies:
        e = program * BLOCK + tl.arange(0, BLOCK)
        own, tap, o = e % own_in, e // own_in % taps, (e // own_in // taps).to(tl.int64)
        i = o // own_out * own_in + own
        value = tl.load(gradient + o * gradient_out + i * gradient_in + tap * gradient_tap, e < numbers, other=0.0)
        to = weight_gradient + o * weight_out + own * weight_in + tap * weight_tap
        tl.store(to, value.to(weight_gradient.dtype.element_ty), e < numbers)
    if COARSE:
        if (program >= copies) & (program < copies + sums):
            rest = program - copies
            _of_restriction(
                gradient, coarse, restriction_gradient, rest // column_tiles // taps, rest // column_tiles % taps,
                rest % column_tiles, own_in, c_out, groups, m, restriction_out, restriction_in, restriction_tap,
                gradient_out, gradient_in, gradient_tap, SUMMED, COLUMNS,
            )  # fmt: skip
        if program >= copies + sums:
            rest = program - copies - sums
            _of_coarse(
                gradient, restriction, coarse_gradient, rest % (groups * m), rest // (groups * m), own_in, c_out,
                groups, taps, m, restriction_out, restriction_in, restriction_tap, gradient_out, gradient_in,
                gradient_tap, CHANNELS, NUMBERS,
            )  # fmt: skip


@triton.jit
def _of_restriction(
    gradient, coarse, restriction_gradient, channel, tap, tile, own_in, c_out, groups, m, restriction_out,
    restriction_in, restriction_tap, gradient_out, gradient_in, gradient_tap, SUMMED: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """Coarse channel `channel`, one tap, COLUMNS input channels."""
    own = tile * COLUMNS + tl.arange(0, COLUMNS)
    i = channel // m * own_in + own
    total = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, c_out, SUMMED):
        o = (start + tl.arange(0, SUMMED)).to(tl.int64)
        at = gradient + (o * gradient_out)[:, None] + (i * gradient_in + tap * gradient_tap)[None, :]
        value = tl.load(at, (o < c_out)[:, None] & (own < own_in)[None, :], other=0.0).to(tl.float32)
        c = tl.load(coarse + o * (groups * m) + channel, o < c_out, other=0.0).to(tl.float32)
        total += tl.sum(value * c[:, None], 0)
    to = restriction_gradient + channel * restriction_out + own * restriction_in + tap * restriction_tap
    tl.store(to, total.to(restriction_gradient.dtype.element_ty), own < own_in)


@triton.jit
def _of_coarse(
    gradient, restriction, coarse_gradient, channel, tile, own_in, c_out, groups, taps, m, restriction_out,
    restriction_in, restriction_tap, gradient_out, gradient_in, gradient_tap, CHANNELS: tl.constexpr,
    NUMBERS: tl.constexpr,
):  # fmt: skip
    """Coarse channel `channel`, CHANNELS output channels."""
    o = (tile * CHANNELS + tl.arange(0, CHANNELS)).to(tl.int64)
    total = tl.zeros((CHANNELS,), tl.float32)
    for start in range(0, own_in * taps, NUMBERS):
        e = start + tl.arange(0, NUMBERS)
        own, tap = e % own_in, e // own_in
        i = channel // m * own_in + own
        at = gradient + (o * gradient_out)[:, None] + (i * gradient_in + tap * gradient_tap)[None, :]
        value = tl.load(at, (o < c_out)[:, None] & (tap < taps)[None, :], other=0.0).to(tl.float32)
        from_r = restriction + channel * restriction_out + own * restriction_in + tap * restriction_tap
        r = tl.load(from_r, tap < taps, other=0.0).to(tl.float32)
        total += tl.sum(value * r[None, :], 1)
    to = coarse_gradient + o * (groups * m) + channel
    tl.store(to, total.to(coarse_gradient.dtype.element_ty), o < c_out)


def dense_weight(
    weight: Tensor, restriction: Tensor | None, coarse: Tensor | None, groups: int, dtype: torch.dtype, *, last: bool
) -> Tensor:
    """The dense weight (c_out, c_in, k_h, k_w) in `dtype`, stored channels last if `last`.

    A (c_out, c_in/n, k_h, k_w), r (n m, c_in/n, k_h, k_w) and C (c_out, n m, 1, 1); without r and C the diagonal alone.
    """
    weight, restriction, coarse = as_kernels_read(weight, restriction, coarse)
    shape = (len(weight), weight.shape[1] * groups, *weight.shape[2:])
    order = torch.channels_last if last else torch.contiguous_format
    dense = torch.empty(shape, dtype=dtype, device=weight.device, memory_format=order)
    r, c = given(restriction, weight), given(coarse, weight)
    launch(
        fold, (triton.cdiv(dense.numel(), _BLOCK),), weight, r, c, dense, dense.numel(),
        *_sizes(weight, restriction, groups), *tap_strides(weight), *tap_strides(r), *tap_strides(dense),
        COARSE=restriction is not None, BLOCK=_BLOCK,
    )  # fmt: skip
    return dense


def dense_weight_backward(
    gradient: Tensor, weight: Tensor, restriction: Tensor | None, coarse: Tensor | None, groups: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The gradients of A, r and C from that of the dense weight, which may lie in memory in either order."""
    if not gradient.is_contiguous(memory_format=torch.channels_last):
        gradient = gradient.contiguous()
    weight, restriction, coarse = as_kernels_read(weight, restriction, coarse)
    found = torch.empty_like(weight)
    found_r = None if restriction is None else torch.empty_like(restriction)
    found_c = None if coarse is None else coarse.new_empty(coarse.shape)
    r, c = given(restriction, weight), given(coarse, weight)
    sizes = _sizes(weight, restriction, groups)
    own_in, _, _, taps, m = sizes
    programs = triton.cdiv(weight.numel(), _BLOCK)
    if restriction is not None:
        programs += groups * m * taps * triton.cdiv(own_in, _OF_RESTRICTION[1])
        programs += groups * m * triton.cdiv(len(weight), _OF_COARSE[0])
    launch(
        fold_backward, (programs,), gradient, r, c, found, given(found_r, weight), given(found_c, weight), *sizes,
        *tap_strides(found), *tap_strides(r), *tap_strides(gradient), COARSE=restriction is not None, BLOCK=_BLOCK,
        SUMMED=_OF_RESTRICTION[0], COLUMNS=_OF_RESTRICTION[1], CHANNELS=_OF_COARSE[0], NUMBERS=_OF_COARSE[1],
    )  # fmt: skip
    return found, found_r, found_c


def evenly_spaced(weight: Tensor) -> Tensor:
    """The weight, copied if its taps are not a fixed distance apart, as they are in both usual memory orders."""
    height, width = weight.shape[2:]
    return weight if 1 in (height, width) or weight.stride(2) == width * weight.stride(3) else weight.contiguous()


def as_kernels_read(
    weight: Tensor, restriction: Tensor | None, coarse: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """A, r and C, copied where their memory is unusual."""
    r = None if restriction is None else evenly_spaced(restriction)
    return evenly_spaced(weight), r, None if coarse is None else coarse.contiguous()


def tap_strides(weight: Tensor) -> tuple[int, int, int]:
    """Between output channels, input channels and taps of an evenly spaced weight."""
    return weight.stride(0), weight.stride(1), weight.stride(3) if weight.shape[3] > 1 else weight.stride(2)


def _sizes(weight: Tensor, restriction: Tensor | None, groups: int) -> tuple[int, int, int, int, int]:
    m = 0 if restriction is None else len(restriction) // groups
    return weight.shape[1], len(weight) // groups, groups, weight[0, 0].numel(), m


def given(tensor: Tensor | None, other: Tensor) -> Tensor:
    """A kernel has no optional tensors; it does not look at the other one."""
    return other if tensor is None else tensor
