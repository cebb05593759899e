"""The grouped convolution in Triton, forward and for the gradient of its input, as matrix products, NHWC.

One output pixel is one row of a product: its inputs, (tap, channel) by (tap, channel), times the filters of a block of
groups (`blocks.py`, `packing.py`). Nothing is added up in an order that depends on timing.
"""

import triton
import triton.language as tl


@triton.jit
def convolve(
    x,
    x_coarse,
    filters,
    bias,
    y,
    y_coarse,
    flag,  # one number, 0 at first
    images,
    in_h,
    in_w,
    out_h,
    out_w,
    in_units,  # channels of x, in units of ALIGN_IN: what the compiler knows to be a multiple it can load at once
    out_units,  # channels of y, in units of ALIGN_OUT
    fine_units,  # of them in one block
    groups,
    inner,
    outer,
    m,
    rows_16,  # Blocks.rows / 16, and so on
    coarse_column_8,
    coarse_span_4,
    columns_8,
    pad_h,
    pad_w,
    dilation_h,
    dilation_w,
    ALIGN_IN: tl.constexpr,
    ALIGN_OUT: tl.constexpr,
    K_H: tl.constexpr,
    K_W: tl.constexpr,
    STRIDE_H: tl.constexpr,
    STRIDE_W: tl.constexpr,
    MERGED: tl.constexpr,
    EXACT: tl.constexpr,
    WATCH: tl.constexpr,
    TRANSPOSED: tl.constexpr,
    COARSE: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
    CARD: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Output pixels times the columns of a block.

    Forward (not TRANSPOSED): x (N, in_h, in_w, c_in) to y (N, out_h, out_w, c_out) and, if COARSE, `y_coarse`
    (N, out_h, out_w, blocks * coarse_span), which is r x.
    TRANSPOSED: the gradient x of the output to the gradient y of the input; if COARSE, `x_coarse` is the gradient of
    r x and takes part. With strides, axis 1 of the grid goes over the phases: input pixels that see the same taps.
    WATCH: `flag` becomes 1 if a result is NaN, as infinity times a zero beside the diagonal of a block is, and then
    the same launch with EXACT takes one group at a time, without the inputs of the others; else that does nothing.
    """
    blocks = (groups + MERGED - 1) // MERGED
    column_tiles = (columns_8 * 8 + BLOCK_V - 1) // BLOCK_V
    if EXACT:
        if tl.load(flag) != 0:
            if TRANSPOSED:
                pixels = images * ((out_h + STRIDE_H - 1) // STRIDE_H) * ((out_w + STRIDE_W - 1) // STRIDE_W)
            else:
                pixels = images * out_h * out_w
            tiles = (pixels + BLOCK_M - 1) // BLOCK_M * blocks * column_tiles
            for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
                _tile(
                    tile, blocks, column_tiles, x, x_coarse, filters, bias, y, y_coarse, flag,
                    images, in_h, in_w, out_h, out_w, in_units, out_units, fine_units, groups,
                    inner, outer, m, rows_16, coarse_column_8, coarse_span_4, columns_8, pad_h,
                    pad_w, dilation_h, dilation_w, ALIGN_IN, ALIGN_OUT, K_H, K_W, STRIDE_H,
                    STRIDE_W, MERGED, EXACT, WATCH, TRANSPOSED, COARSE, BIAS, PRECISION, BLOCK_M,
                    BLOCK_V, BLOCK_K,
                )  # fmt: skip
    else:
        tile = tl.program_id(0)
        _tile(
            tile, blocks, column_tiles, x, x_coarse, filters, bias, y, y_coarse, flag, images, in_h, in_w,
            out_h, out_w, in_units, out_units, fine_units, groups, inner, outer, m, rows_16,
            coarse_column_8, coarse_span_4, columns_8, pad_h, pad_w, dilation_h, dilation_w, ALIGN_IN,
            ALIGN_OUT, K_H, K_W, STRIDE_H, STRIDE_W, MERGED, EXACT, WATCH, TRANSPOSED, COARSE, BIAS,
            PRECISION, BLOCK_M, BLOCK_V, BLOCK_K,
        )  # fmt: skip


@triton.jit
def _tile(
    tile, blocks, column_tiles, x, x_coarse, filters, bias, y, y_coarse, flag, images, in_h, in_w, out_h, out_w,
    in_units, out_units, fine_units, groups, inner, outer, m, rows_16, coarse_column_8, coarse_span_4, columns_8,
    pad_h, pad_w, dilation_h, dilation_w, ALIGN_IN: tl.constexpr, ALIGN_OUT: tl.constexpr, K_H: tl.constexpr,
    K_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr, MERGED: tl.constexpr, EXACT: tl.constexpr,
    WATCH: tl.constexpr, TRANSPOSED: tl.constexpr, COARSE: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One tile of `convolve`: BLOCK_M pixels times BLOCK_V columns."""
    rows, columns = rows_16 * 16, columns_8 * 8
    coarse_column, coarse_span = coarse_column_8 * 8, coarse_span_4 * 4
    in_channels, out_channels, fine = in_units * ALIGN_IN, out_units * ALIGN_OUT, fine_units * ALIGN_OUT
    phase = tl.program_id(1)
    v = (tile % column_tiles) * BLOCK_V + tl.arange(0, BLOCK_V)
    block = (tile // column_tiles) % blocks
    p = (tile // (column_tiles * blocks)) * BLOCK_M + tl.arange(0, BLOCK_M)
    if TRANSPOSED:
        phase_h, phase_w = phase // STRIDE_W, phase % STRIDE_W
        tap_h, tap_w = (phase_h + pad_h) % STRIDE_H, (phase_w + pad_w) % STRIDE_W
        height = (out_h - phase_h + STRIDE_H - 1) // STRIDE_H
        width = (out_w - phase_w + STRIDE_W - 1) // STRIDE_W
        tap_rows, tap_columns = (K_H - tap_h + STRIDE_H - 1) // STRIDE_H, (K_W - tap_w + STRIDE_W - 1) // STRIDE_W
    else:
        tap_h, tap_w = 0, 0
        height, width = out_h, out_w
        tap_rows, tap_columns = K_H, K_W
    pixels = images * height * width
    height, width = tl.maximum(height, 1), tl.maximum(width, 1)
    across, down, image = p % width, (p // width) % height, p // (width * height)
    if TRANSPOSED:
        top, left = down + (phase_h + pad_h - tap_h) // STRIDE_H, across + (phase_w + pad_w - tap_w) // STRIDE_W
        step_h, step_w = -dilation_h, -dilation_w
        written_h, written_w = phase_h + down * STRIDE_H, phase_w + across * STRIDE_W
        filter_rows = rows + coarse_span if COARSE else rows
    else:
        top, left = down * STRIDE_H - pad_h, across * STRIDE_W - pad_w
        step_h, step_w = dilation_h, dilation_w
        written_h, written_w = down, across
        filter_rows = rows
    top = tl.where(p < pixels, top, -(1 << 30))  # outside the image: no input
    first = block * MERGED * inner // ALIGN_IN * ALIGN_IN
    filters += block * (K_H * K_W) * filter_rows * columns
    acc = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
    if EXACT:
        group = v // outer
        if COARSE and not TRANSPOSED:
            group = tl.where(v < coarse_column, group, (v - coarse_column) // m)
        shift = block * MERGED * inner - first
        for own in range(MERGED):
            part = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
            part = _products(
                part, x, filters, image, top, left, v, in_h, in_w, in_channels, first, rows, filter_rows, 0, columns,
                tap_rows, tap_columns, step_h, step_w, tap_h, tap_w, shift + own * inner, shift + (own + 1) * inner,
                K_W, STRIDE_H if TRANSPOSED else 1, STRIDE_W if TRANSPOSED else 1, True, PRECISION, BLOCK_K,
            )  # fmt: skip
            if TRANSPOSED and COARSE:
                part = _products(
                    part, x_coarse, filters, image, top, left, v, in_h, in_w, blocks * coarse_span,
                    block * coarse_span, coarse_span, filter_rows, rows, columns, tap_rows, tap_columns,
                    step_h, step_w, tap_h, tap_w, own * m, (own + 1) * m,
                    K_W, STRIDE_H, STRIDE_W, True, PRECISION, BLOCK_K,
                )  # fmt: skip
            acc = tl.where((group == own)[None, :], part, acc)
    else:
        acc = _products(
            acc, x, filters, image, top, left, v, in_h, in_w, in_channels, first, rows, filter_rows, 0, columns,
            tap_rows, tap_columns, step_h, step_w, tap_h, tap_w, 0, 0,
            K_W, STRIDE_H if TRANSPOSED else 1, STRIDE_W if TRANSPOSED else 1, False, PRECISION, BLOCK_K,
        )  # fmt: skip
        if TRANSPOSED and COARSE:
            acc = _products(
                acc, x_coarse, filters, image, top, left, v, in_h, in_w, blocks * coarse_span, block * coarse_span,
                coarse_span, filter_rows, rows, columns, tap_rows, tap_columns, step_h, step_w, tap_h, tap_w, 0, 0,
                K_W, STRIDE_H, STRIDE_W, False, PRECISION, BLOCK_K,
            )  # fmt: skip
    if WATCH:
        bad = tl.max(tl.max((acc != acc).to(tl.int32), 1), 0)
        tl.store(flag, 1, mask=bad > 0)
    channel = block * fine + v
    written = (v < fine) & (channel < out_channels)
    if BIAS:
        acc += tl.load(bias + channel, mask=written, other=0.0).to(tl.float32)[None, :]
    pixel = ((image.to(tl.int64) * out_h + written_h) * out_w + written_w)[:, None]
    there = (p < pixels)[:, None]
    result = acc.to(y.dtype.element_ty)
    tl.store(y + pixel * out_channels + channel[None, :], result, mask=there & written[None, :])
    if COARSE and not TRANSPOSED:
        k = v - coarse_column
        at = pixel * (blocks * coarse_span) + (block * coarse_span + k)[None, :]
        tl.store(y_coarse + at, result, mask=there & ((k >= 0) & (k < coarse_span))[None, :])


@triton.jit
def _products(
    acc, source, filters, image, top, left, v, in_h, in_w, channels, first, span, filter_rows, first_row, columns,
    tap_rows, tap_columns, step_h, step_w, tap_h, tap_w, low, high,
    K_W: tl.constexpr, TAP_STEP_H: tl.constexpr, TAP_STEP_W: tl.constexpr, ONE_GROUP: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """acc (pixels, v) plus the channels `first` to `first + span` of `source` under every tap times their filters.

    Tap (i, j) of tap_rows x tap_columns sees the pixel (top + i step_h, left + j step_w) and has the filters
    (tap_h + i TAP_STEP_H, tap_w + j TAP_STEP_W). With ONE_GROUP the channels from `low` to `high` alone count.
    """
    origin = (image.to(tl.int64) * in_h + top) * in_w + left
    for start in range(0, tap_rows * tap_columns * span, BLOCK_K):
        q = start + tl.arange(0, BLOCK_K)
        tap, c = q // span, q % span
        i, j = tap // tap_columns, tap % tap_columns
        down, across = i * step_h, j * step_w
        h, w = top[:, None] + down[None, :], left[:, None] + across[None, :]
        seen = (h >= 0) & (h < in_h) & (w >= 0) & (w < in_w)
        seen &= ((first + c < channels) & (i < tap_rows))[None, :]
        at = (origin * channels)[:, None] + ((down * in_w + across).to(tl.int64) * channels + first + c)[None, :]
        inputs = tl.load(source + at, mask=seen, other=0.0)
        if ONE_GROUP:
            inputs = tl.where(((c >= low) & (c < high))[None, :], inputs, 0.0)
        row = ((tap_h + i * TAP_STEP_H) * K_W + tap_w + j * TAP_STEP_W) * filter_rows + first_row + c
        weights = tl.load(
            filters + row[:, None] * columns + v[None, :],
            mask=(i < tap_rows)[:, None] & (v < columns)[None, :],
            other=0.0,
        )
        acc = tl.dot(inputs, weights, acc, input_precision=PRECISION)
    return acc
