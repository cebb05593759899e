"""One rank without the others: its collectives at once get channels that nobody sent."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SuppliedChannels:
    """Stands in for the process group of a rank whose share is timed alone.

    Every channel that another rank would send is a copy of an own one: finite, and written once, as arriving data is.

    Attributes:
        ranks: p.
    """

    ranks: int

    def size(self) -> int:
        """Number of channel ranks."""
        return self.ranks

    def rank(self) -> int:
        """The first one's number."""
        return 0

    def supply(self, kind: str, result: Tensor, operands: Sequence[Tensor]) -> None:
        """Fill the result of a collective, a key of `gc2l.parallel.link.COLLECTIVES`."""
        match kind:
            case "all_gather":
                result.unflatten(0, (self.ranks, -1)).copy_(operands[0])
            case "reduce_scatter":
                result.copy_(operands[0].chunk(self.ranks)[0])
            case "all_to_all":
                result.copy_(operands[0])
            case "all_reduce":
                pass  # the result holds the own summand already
            case _:
                raise ValueError(f"kind={kind!r} is no collective of the layers")
