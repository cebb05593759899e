"""The two parameter counts of a network that the tables give; without torch, for those who only read them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Parameters of a network.

    Attributes:
        total: in all; FLGC's layers with the nominal number that the paper gives.
        per_processor: held by one of n processors in channel-parallel execution (section 3.2), rounded up.
    """

    total: int
    per_processor: int
