"""Filters to matrices of blocks and their gradients back, in Triton: casts, transposes and zeros in one kernel."""

import triton
import triton.language as tl


@triton.jit
def pack(
    weight,
    restriction,
    filters,  # (blocks, taps, filter_rows, columns)
    flag,  # set to 0
    numbers,
    groups,
    merged,
    own_in,  # c_in / n
    own_out,  # c_out / n
    m,
    taps,
    filter_rows,
    rows,
    columns,
    coarse_column,
    alignment,
    weight_out,  # strides of the weight: output channel, input channel, tap
    weight_in,
    weight_tap,
    restriction_out,
    restriction_in,
    restriction_tap,
    TRANSPOSED: tl.constexpr,
    COARSE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The matrices that `convolution.convolve` multiplies with, from A (c_out, c_in/n, taps) and r (n m, c_in/n, taps).

    Forward: rows are input channels; columns are the block's outputs, then, from `coarse_column`, its coarse channels.
    TRANSPOSED: rows are output channels, then, from `rows`, coarse ones; columns are input channels.
    """
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column, row = e % columns, e // columns % filter_rows
    tap, block = e // (columns * filter_rows) % taps, e // (columns * filter_rows) // taps
    source = own_out if TRANSPOSED else own_in
    first = block * merged * source
    source_channel = row - first % alignment
    target = own_in if TRANSPOSED else own_out
    # Group within the block, by row and by column.
    from_group, to_group = source_channel // source, column // target
    real = (source_channel >= 0) & (row < rows) & (column < merged * target) & (e < numbers)
    real &= (from_group == to_group) & (to_group < merged) & (block * merged + to_group < groups)
    group = block * merged + to_group
    if TRANSPOSED:
        out_channel, in_channel = group * own_out + source_channel % source, column % target
    else:
        out_channel, in_channel = group * own_out + column % target, source_channel % source
    value = tl.load(weight + out_channel * weight_out + in_channel * weight_in + tap * weight_tap, real, other=0.0)
    value = value.to(tl.float32)
    if COARSE:
        if TRANSPOSED:
            k, other, in_channel = row - rows, column // own_in, column % own_in
            real = (k >= 0) & (column < merged * own_in)
        else:
            k, other, in_channel = column - coarse_column, source_channel // own_in, source_channel % own_in
            real = (k >= 0) & (source_channel >= 0)
        real &= (k < merged * m) & (k // m == other) & (block * merged + other < groups) & (e < numbers)
        at = (block * merged * m + k) * restriction_out + in_channel * restriction_in + tap * restriction_tap
        value += tl.load(restriction + at, real, other=0.0).to(tl.float32)
    tl.store(flag, 0, tl.program_id(0) == 0)
    tl.store(filters + e, value.to(filters.dtype.element_ty), e < numbers)


@triton.jit
def unpack(
    parts,  # (splits, blocks, taps, rows, columns), float32
    found,
    splits,
    numbers,  # of `found`: (channels, c_in/n, taps)
    numbers_of_part,
    merged,
    own_in,
    of_group,  # channels of one group: c_out/n for A, m for r
    taps,
    rows,
    columns,
    first_column,
    alignment,
    found_out,
    found_in,
    found_tap,
    SPLITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient of A or r: the diagonal of the blocks, summed over the splits in their order."""
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    # In the order of the columns, which lie beside each other.
    per_tap = numbers // taps
    tap, rest = e // per_tap, e % per_tap
    channels = per_tap // own_in
    in_channel, channel = rest // channels, rest % channels
    group = channel // of_group
    block, own = group // merged, group % merged
    row = block * merged * own_in % alignment + own * own_in + in_channel
    at = ((block * taps + tap) * rows + row) * columns + first_column + own * of_group + channel % of_group
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, splits, SPLITS):
        split = start + tl.arange(0, SPLITS)
        mask = (split < splits)[:, None] & (e < numbers)[None, :]
        part = tl.load(parts + split.to(tl.int64)[:, None] * numbers_of_part + at[None, :], mask, other=0.0)
        total += tl.sum(part, 0)
    to = channel * found_out + in_channel * found_in + tap * found_tap
    tl.store(found + to, total.to(found.dtype.element_ty), e < numbers)
