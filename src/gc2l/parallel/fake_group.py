"""A process group with one real rank: its collectives return at once, with synthetic channels of the other ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class FakeProcessGroup:
    """The process group of a rank that is timed without the others.

    Each channel that another rank would send is a copy of one of this rank's: finite, and written once, like data that
    arrives.

    Attributes:
        ranks: p.
    """

    ranks: int

    def size(self) -> int:
        """Number of channel ranks."""
        return self.ranks

    def rank(self) -> int:
        """The number of the real rank."""
        return 0

    def fill(self, kind: str, result: Tensor, operands: Sequence[Tensor]) -> None:
        """Write the result of a collective, a key of `gc2l.parallel.link.COLLECTIVES`."""
        match kind:
            case "all_gather":
                result.unflatten(0, (self.ranks, -1)).copy_(operands[0])
            case "reduce_scatter":
                result.copy_(operands[0].chunk(self.ranks)[0])
            case "all_to_all":
                result.copy_(operands[0])
            case "all_reduce":
                pass  # the result already holds this rank's summand
            case _:
                raise ValueError(f"kind={kind!r} is not a collective that the layers use")
