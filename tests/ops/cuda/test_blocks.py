"""Merged blocks of groups hold every channel, are read from aligned places, and are not wasteful."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gc2l.ops.cuda.blocks import merge

small = st.integers(1, 40)


@given(groups=small, inner=small, outer=small, m=st.integers(0, 4))
def test_a_block_has_room_for_the_channels_of_its_groups(groups, inner, outer, m):
    blocks = merge(groups, inner, outer, m)
    assert 1 <= blocks.merged <= groups
    assert (blocks.number - 1) * blocks.merged < groups <= blocks.number * blocks.merged
    assert blocks.rows % 16 == blocks.columns % 8 == blocks.coarse_column % 8 == blocks.coarse_span % 4 == 0
    assert inner * groups % blocks.alignment == 0
    for block in range(blocks.number):
        shift = block * blocks.merged * inner % blocks.alignment
        assert shift + blocks.merged * inner <= blocks.rows
    assert blocks.fine <= blocks.coarse_column
    assert m * blocks.merged <= blocks.coarse_span
    assert blocks.coarse_column + blocks.coarse_span <= blocks.columns
    if blocks.separates:
        assert blocks.merged == 1 and blocks.rows == inner
    back = blocks.transposed()
    assert (back.inner, back.outer, back.m, back.merged) == (outer, inner, 0, blocks.merged)


# Layers of WRN-28-10: (channels, n), the groups merged, the matrix of one block.
@pytest.mark.parametrize(
    ("channels", "groups", "merged", "matrix"),
    [
        (160, 2, 1, (80, 88)),
        (160, 4, 1, (48, 48)),
        (160, 8, 2, (48, 48)),
        (160, 16, 4, (48, 48)),
        (320, 16, 2, (48, 48)),
        (640, 16, 1, (48, 48)),
        (640, 2, 1, (320, 328)),
    ],
)
def test_blocks_of_the_paper_s_layers(channels, groups, merged, matrix):
    blocks = merge(groups, channels // groups, channels // groups, 1)
    assert (blocks.merged, (blocks.rows, blocks.columns)) == (merged, matrix)


def test_narrow_groups_fill_a_tile_and_wide_ones_stay_alone():
    assert merge(96, 1, 1, 0).fine >= 16
    assert merge(4, 64, 64, 0).merged == 1
    assert merge(4, 64, 64, 0).separates
