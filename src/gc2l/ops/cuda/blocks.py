"""How many groups a matrix product takes at once, and where their channels lie in memory.

Matrix units work on tiles of at least 16 x 16, and memory is read in pieces of 32 bytes. Groups narrower than that
are taken side by side: a block of b groups is one matrix with the groups' filters on its diagonal and zeros elsewhere.
"""

from functools import cache
from math import gcd
from typing import NamedTuple

from torch import Tensor

LANE = 8  # channels of one 16-byte access, in a 2-byte type
_SECTOR = 16  # channels of the 32 bytes that memory is read by
_TILE = 16  # the least width of a tile
_WIDEST = 128  # channels up to which merging is looked at


class Blocks(NamedTuple):
    """Groups merged into blocks, for a convolution from `inner` to `outer` channels per group.

    The matrix of one block and one tap has `rows` rows, for the input channels from the block's first, rounded down to
    a multiple of `alignment`. It has `columns` columns: `fine` for the outputs, then, from `coarse_column` on,
    `coarse_span` for the coarse channels, if any.
    """

    groups: int
    merged: int  # groups in a block
    inner: int
    outer: int
    m: int  # coarse channels of a group

    @property
    def number(self) -> int:
        """Blocks; the last may have fewer groups."""
        return -(-self.groups // self.merged)

    @property
    def alignment(self) -> int:
        """A power of two that divides the channels of the input and where each block's channels are read from."""
        return gcd(self.inner * self.groups, _SECTOR)

    @property
    def rows(self) -> int:
        """Input channels that one block reads for one tap, a multiple of the least tile."""
        step = gcd(self.inner * self.merged, self.alignment)
        return _whole(self.inner * self.merged + (self.alignment - step if self.number > 1 else 0), _TILE)

    @property
    def fine(self) -> int:
        """Output channels of one block."""
        return self.outer * self.merged

    @property
    def coarse_column(self) -> int:
        """The first column of the coarse channels."""
        return _whole(self.fine, LANE)

    @property
    def coarse_span(self) -> int:
        """Coarse channels that one block has in memory, some of them zero so that all can be read four at once."""
        return _whole(self.m * self.merged, 4)

    @property
    def columns(self) -> int:
        """Columns of the matrix."""
        return _whole(self.coarse_column + self.coarse_span, LANE)

    @property
    def separates(self) -> bool:
        """Whether a block reads the channels of one group alone, so that no group can disturb another."""
        return self.merged == 1 and self.rows == self.inner

    def transposed(self) -> "Blocks":
        """The blocks of the input gradient, which reads outputs and coarse channels and has none of the latter."""
        return self._replace(inner=self.outer, outer=self.inner, m=0)


def blocks_of(weight: Tensor, restriction: Tensor | None, groups: int) -> Blocks:
    """How the groups of A (c_out, c_in/n, k_h, k_w) and r (n m, ...) are merged."""
    m = 0 if restriction is None else restriction.shape[0] // groups
    # Symbols of a compiler would be no key for a cache.
    return merge(groups, int(weight.shape[1]), int(weight.shape[0] // groups), int(m))


@cache
def merge(groups: int, inner: int, outer: int, m: int) -> Blocks:
    """The merged blocks with the least work, in both directions: products, channels read, and narrow stores."""
    most = max(1, _WIDEST // max(inner, outer))
    return min((Blocks(groups, merged, inner, outer, m) for merged in range(1, min(groups, most) + 1)), key=_work)


def _work(blocks: Blocks) -> float:
    return _work_of_one(blocks) + _work_of_one(blocks.transposed())


def _work_of_one(blocks: Blocks) -> float:
    # Reading a channel under all taps from the L2 cache (5.5 TB/s) takes as long as about 100 products (half the peak).
    products = blocks.number * blocks.rows * (_whole(blocks.columns, 32) + 96)
    stored_at_once = gcd(blocks.fine, LANE) if blocks.number > 1 else gcd(blocks.outer * blocks.groups, LANE)
    return products * (1 + 0.05 * (LANE / stored_at_once - 1))


def _whole(number: int, unit: int) -> int:
    return -(-number // unit) * unit
