"""The record of inference times: grouped layers and whole networks, by every library that is installed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gc2l.records.measurement import Measurement, read_measurement
from gc2l.records.schema import Hardware, Part, Positive

Seconds = Annotated[float, Field(gt=0)]


class InferenceTime(Part):
    """One layer or network by one library, one image.

    Attributes:
        case: "160->160 3x3 @32", or a network's name.
        network: that it is a layer of; its own name for a whole network.
        kernel: k of a layer, 0 for a network.
        variant: "gc" or "gc2l".
        groups: n.
        threads: CPU threads.
        library: a key of `gc2l.bench.inference.LIBRARIES`.
        seconds, low, high: median of the turns and their quartiles.
        turns: how many there were.
        error: largest difference from float64, over the largest value.
    """

    case: str
    network: str
    kernel: Annotated[int, Field(ge=0)]
    variant: str
    groups: Positive
    threads: Positive
    library: str
    seconds: Seconds
    low: Seconds
    high: Seconds
    turns: Positive
    error: Annotated[float, Field(ge=0)]


class Refusal(Part):
    """What a library could not compute, and its word for it."""

    case: str
    variant: str
    groups: Positive
    library: str
    reason: str


class InferenceRecord(Measurement):
    """Times of one machine.

    Attributes:
        schema_version: of this format.
        hardware: of the machine.
        clock: of one thread; two are timed by the wall's.
        libraries: version and precision of each that was measured, by name.
        absent: why the others were not.
        times: one for each case, n, number of threads and library.
        refusals: what was not computed.
    """

    schema_version: Literal[1] = 1
    hardware: Hardware
    clock: str
    libraries: dict[str, str]
    absent: dict[str, str]
    times: tuple[InferenceTime, ...]
    refusals: tuple[Refusal, ...]

    def has(self, case: str, network: str, variant: str, groups: int, threads: int) -> bool:
        """Whether the case was measured."""
        wanted = (case, network, variant, groups, threads)
        return any((one.case, one.network, one.variant, one.groups, one.threads) == wanted for one in self.times)

    def with_case(self, times: Iterable[InferenceTime], refusals: Iterable[Refusal]) -> "InferenceRecord":
        """The record with a case more; a refusal is kept once for all numbers of threads."""
        more = [one for one in refusals if one not in self.refusals]
        return self.model_copy(update={"times": (*self.times, *times), "refusals": (*self.refusals, *more)})


WRONG = 1e-4
"""Errors above this are no rounding of float32."""


def read_inference(path: Path) -> InferenceRecord | None:
    """The record in `path`; None when there is none.

    Raises:
        ValueError: no valid record.
    """
    return read_measurement(InferenceRecord, path) if path.exists() else None
