"""How grouped.c cuts a product into register tiles, and the weights in that order."""

import math

import torch
from torch import Tensor

LANES = 16
_MOST_FILTERS, _MOST_VECTORS, _REGISTERS = 14, 8, 32
_LINE, _FIRST_CACHE = 64, 40_000  # bytes


def blocks_and_tiles(filters: int, vectors: int, terms: int, copied: bool) -> tuple[int, int]:
    """In how many blocks the filters of a group are cut, and its vectors of pixels in how many tiles.

    A tile of R filters and V vectors keeps R V sums, V vectors and one weight in the 32 registers. Two products and two
    loads are done in a cycle; vectors that cross lines of the cache take three times as long. In the image itself, not
    a copy, what a tile reads lies apart, and has to fit the first cache.

    Timing every choice for the layers of both networks up to 32 pixels finds tiles that are 2 % faster in the geometric
    mean, so that a search on the user's machine would not pay.

    Args:
        filters: of one group.
        vectors: of one channel of the output.
        terms: channels times taps.
        copied: whether the input is a copy.
    """
    crossing = 2.3 if copied else 3

    def cycles(rows: int, width: int) -> float:
        for_each_term = max(rows * width / 2, (rows + width * crossing) / 2, 4)
        if not copied and width < vectors and terms * (width + 1) * _LINE > _FIRST_CACHE:
            for_each_term += width + 1
        return terms * for_each_term + 3 * rows * width + 4 * rows + 20

    def cost(choice: tuple[int, int]) -> float:
        return sum(
            many_rows * many_vectors * cycles(rows, width)
            for rows, many_rows in _parts(filters, choice[0])
            for width, many_vectors in _parts(vectors, choice[1])
        )

    choices = [
        (math.ceil(filters / rows), math.ceil(vectors / width))
        for rows in range(1, _MOST_FILTERS + 1)
        for width in range(1, min(_MOST_VECTORS, (_REGISTERS - 1) // (rows + 1)) + 1)
    ]
    return min(choices, key=cost)


def packed(filters: Tensor, blocks: int) -> Tensor:
    """Filters (n, K, terms) one block after the other, each as (terms, filters of the block)."""
    sizes = starts(filters.shape[1], blocks).diff().tolist()
    return torch.cat([block.mT.flatten(1) for block in filters.split(sizes, 1)], 1)


def starts(count: int, parts: int) -> Tensor:
    """Where each of the parts begins when `count` things are cut into almost equal ones, and `count`."""
    sizes = [size for size, many in _parts(count, parts) for _ in range(many)]
    return torch.tensor([0, *sizes]).cumsum(0)


def _parts(count: int, parts: int) -> list[tuple[int, int]]:
    """(size, how many), larger ones first."""
    size, larger = divmod(count, parts)
    return [(of, many) for of, many in ((size + 1, larger), (size, parts - larger)) if many]
