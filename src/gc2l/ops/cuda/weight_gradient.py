"""The gradient of the grouped convolution's filters in Triton, as matrix products, NHWC."""

import triton
import triton.language as tl


@triton.jit
def weight_gradient(
    x,
    gradient,
    z_gradient,
    parts,  # (splits, blocks, K_H * K_W * rows, columns), float32
    images,
    in_h,
    in_w,
    out_h,
    out_w,
    in_units,
    out_units,
    fine_units,
    groups,
    inner,
    rows_16,
    coarse_column_8,
    coarse_span_4,
    columns_8,
    pad_h,
    pad_w,
    dilation_h,
    dilation_w,
    pixels_of_split,
    ALIGN_IN: tl.constexpr,
    ALIGN_OUT: tl.constexpr,
    K_H: tl.constexpr,
    K_W: tl.constexpr,
    STRIDE_H: tl.constexpr,
    STRIDE_W: tl.constexpr,
    MERGED: tl.constexpr,
    COARSE: tl.constexpr,
    PRECISION: tl.constexpr,
    CARD: tl.constexpr,
    BLOCK_Z: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """The gradients of a block's filters, laid out as the filters are, from the output pixels of one split.

    x (N, in_h, in_w, c_in), gradient (N, out_h, out_w, c_out); with COARSE also z_gradient (N, out_h, out_w,
    blocks * coarse_span), whose products use the tile of x that is loaded anyway.
    """
    rows, columns = rows_16 * 16, columns_8 * 8
    coarse_column, coarse_span = coarse_column_8 * 8, coarse_span_4 * 4
    in_channels, out_channels, fine = in_units * ALIGN_IN, out_units * ALIGN_OUT, fine_units * ALIGN_OUT
    blocks = (groups + MERGED - 1) // MERGED
    total = K_H * K_W * rows
    column_tiles, row_tiles = (fine + BLOCK_V - 1) // BLOCK_V, (total + BLOCK_Q - 1) // BLOCK_Q
    program, split = tl.program_id(0), tl.program_id(1)
    column_tile = program % column_tiles
    v = column_tile * BLOCK_V + tl.arange(0, BLOCK_V)
    q = (program // column_tiles) % row_tiles * BLOCK_Q + tl.arange(0, BLOCK_Q)
    block = program // (column_tiles * row_tiles)
    first = block * MERGED * inner // ALIGN_IN * ALIGN_IN
    tap, c = q // rows, q % rows
    down, across = tap // K_W * dilation_h, tap % K_W * dilation_w
    shifted = (down * in_w + across).to(tl.int64) * in_channels + first + c
    real = (first + c < in_channels) & (q < total)
    channel = block * fine + v
    written = (v < fine) & (channel < out_channels)
    k = tl.arange(0, BLOCK_Z)
    pixels = images * out_h * out_w
    begin = split * pixels_of_split
    acc = tl.zeros((BLOCK_Q, BLOCK_V), tl.float32)
    acc_coarse = tl.zeros((BLOCK_Q, BLOCK_Z), tl.float32)
    for start in range(begin, tl.minimum(begin + pixels_of_split, pixels), BLOCK_P):
        p = start + tl.arange(0, BLOCK_P)
        there = p < pixels
        image = (p // (out_h * out_w)).to(tl.int64)
        top = (p // out_w) % out_h * STRIDE_H - pad_h
        left = p % out_w * STRIDE_W - pad_w
        h, w = top[None, :] + down[:, None], left[None, :] + across[:, None]
        seen = (h >= 0) & (h < in_h) & (w >= 0) & (w < in_w) & real[:, None] & there[None, :]
        origin = ((image * in_h + top) * in_w + left) * in_channels
        inputs = tl.load(x + origin[None, :] + shifted[:, None], mask=seen, other=0.0)
        pixel = p.to(tl.int64)[:, None]
        mask = there[:, None] & written[None, :]
        upstream = tl.load(gradient + pixel * out_channels + channel[None, :], mask=mask, other=0.0)
        acc = tl.dot(inputs, upstream, acc, input_precision=PRECISION)
        if COARSE:
            at = pixel * (blocks * coarse_span) + (block * coarse_span + k)[None, :]
            coarse = tl.load(z_gradient + at, mask=there[:, None] & (k < coarse_span)[None, :], other=0.0)
            acc_coarse = tl.dot(inputs, coarse, acc_coarse, input_precision=PRECISION)
    row = (split * blocks + block).to(tl.int64) * total + q
    at = row[:, None] * columns
    tl.store(parts + at + v[None, :], acc, mask=(q < total)[:, None] & (v < fine)[None, :])
    if COARSE:
        mask = ((q < total) & (column_tile == 0))[:, None] & (k < coarse_span)[None, :]
        tl.store(parts + at + (coarse_column + k)[None, :], acc_coarse, mask=mask)
