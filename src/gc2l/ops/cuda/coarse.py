"""The coarse level's passes over memory, in Triton: y += C z, and both of its gradients from one reading of y's.

z (pixels, width) has the coarse channels of each block of groups together, `span` for every `real` ones; the others
are zero. So column k of z is column `k // span * real + k % span` of C (c_out, n m), if k % span < real.
"""

import triton
import triton.language as tl


@triton.jit
def add(
    y,
    z,
    coarse,
    pixels,
    out_units,
    width_4,
    coarse_channels,  # n m
    real,
    span,
    ALIGN_OUT: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_Z: tl.constexpr,
):
    """y (pixels, c_out) += C z."""
    out_channels, width = out_units * ALIGN_OUT, width_4 * 4
    column_tiles = (out_channels + BLOCK_V - 1) // BLOCK_V
    v = tl.program_id(0) % column_tiles * BLOCK_V + tl.arange(0, BLOCK_V)
    p = (tl.program_id(0) // column_tiles * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)[:, None]
    at = y + p * out_channels + v[None, :]
    mask = (p < pixels) & (v < out_channels)[None, :]
    acc = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    for start in range(0, width, BLOCK_Z):
        k = start + tl.arange(0, BLOCK_Z)
        column = _column(k, real, span)
        known = (k % span < real) & (column < coarse_channels) & (k < width)
        c = tl.load(
            coarse + column[:, None] + (v * coarse_channels)[None, :],
            mask=known[:, None] & (v < out_channels)[None, :],
            other=0.0,
        )
        z_tile = tl.load(z + p * width + k[None, :], mask=(p < pixels) & (k < width)[None, :], other=0.0)
        z_tile = tl.where(known[None, :], z_tile, 0.0)  # beside infinity what should be zero need not be
        acc = tl.dot(z_tile, c.to(z.dtype.element_ty), acc, input_precision=PRECISION)
    tl.store(at, acc.to(y.dtype.element_ty), mask=mask)


@triton.jit
def gradients(
    gradient,
    z,
    coarse,
    z_gradient,
    parts,  # (pixel tiles, c_out, n m), float32
    pixels,
    out_units,
    width_4,
    coarse_channels,
    real,
    span,
    ALIGN_OUT: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_Z: tl.constexpr,
):
    """From each tile of y's gradient (pixels, c_out) those of z (pixels, width) and of C.

    Axis 1 of the grid goes over BLOCK_Z columns of z at a time.
    """
    out_channels, width = out_units * ALIGN_OUT, width_4 * 4
    tile = tl.program_id(0)
    k = tl.program_id(1) * BLOCK_Z + tl.arange(0, BLOCK_Z)
    p = (tile * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)[:, None]
    column = _column(k, real, span)
    known = (k % span < real) & (column < coarse_channels) & (k < width)
    mask_z = (p < pixels) & (k < width)[None, :]
    z_tile = tl.load(z + p * width + k[None, :], mask=mask_z, other=0.0)
    found = tl.zeros((BLOCK_M, BLOCK_Z), tl.float32)
    for start in range(0, out_channels, BLOCK_V):
        v = start + tl.arange(0, BLOCK_V)
        real_v = v < out_channels
        upstream = tl.load(gradient + p * out_channels + v[None, :], mask=(p < pixels) & real_v[None, :], other=0.0)
        c = tl.load(
            coarse + (v * coarse_channels)[:, None] + column[None, :], mask=real_v[:, None] & known[None, :], other=0.0
        )
        found = tl.dot(upstream, c.to(gradient.dtype.element_ty), found, input_precision=PRECISION)
        part = tl.dot(tl.trans(upstream), z_tile, input_precision=PRECISION)
        row = (tile.to(tl.int64) * out_channels + v) * coarse_channels
        tl.store(parts + row[:, None] + column[None, :], part, mask=real_v[:, None] & known[None, :])
    found = tl.where(known[None, :], found, 0.0)
    tl.store(z_gradient + p * width + k[None, :], found.to(z_gradient.dtype.element_ty), mask=mask_z)


@triton.jit
def _column(k, real, span):
    return k // span * real + k % span
