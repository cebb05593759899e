"""The record of trained networks that were converted to group convolutions."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gc2l.records.measurement import Measurement, check_nothing_lost, read_measurement
from gc2l.records.schema import Count, Name, Part, Positive


class Conversion(Part):
    """One network, converted in one way.

    Attributes:
        convolution: what its convolutions became, as the table names it.
        weights: those that the conversion gave them.
        seed: of the network's training.
        trained: wrong answers of the network before.
        converted: right after its conversion.
        renewed: with the statistics of its batch norms measured anew.
        tuned: after the epoch of training that follows.
    """

    convolution: Name
    weights: Literal["nearest", "fresh", "unscaled"]
    seed: Count
    trained: Count
    converted: Count
    renewed: Count
    tuned: Count


class ConversionRecord(Measurement):
    """All conversions of one preset's standard network.

    Attributes:
        schema_version: of this format.
        preset: its first column's standard network was converted.
        epochs: for which the network was trained.
        groups: n.
        learning_rate: the peak rate of the epoch that follows.
        images: of the test set.
        conversions: one for each way and seed.
    """

    schema_version: Literal[1] = 1
    preset: Annotated[Name, Field(min_length=1)]
    epochs: Positive
    groups: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    images: Positive
    conversions: tuple[Conversion, ...]


def read_conversion(path: Path) -> ConversionRecord | None:
    """The record in `path`; None when there is none.

    Raises:
        ValueError: no valid record.
    """
    return read_measurement(ConversionRecord, path) if path.exists() else None


def check_replaces(path: Path, ways: Collection[tuple[str, str, int]], **settings: str | int) -> None:
    """Check that a run makes all again that the record in `path` has.

    Args:
        path: of the record; nothing is checked when there is none.
        ways: convolution, weights and seed of each conversion of the run.
        settings: of the run, by the names of `ConversionRecord`.

    Raises:
        ValueError: something would be lost.
    """
    before = read_conversion(path)
    if before is None:
        return
    lost = [f"{name}={old}" for name, new in settings.items() if (old := getattr(before, name)) != new]
    for one in before.conversions:
        if (one.convolution, one.weights, one.seed) not in ways:
            lost.append(f"{one.convolution} with {one.weights} weights, seed {one.seed}")
    check_nothing_lost(path, lost, "an --output")
