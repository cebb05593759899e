"""The record of Table 2's measurements on one machine: the work of a rank, and how long it takes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from gc2l.records.measurement import Measurement, read_measurement
from gc2l.records.schema import Count, Hardware, Part, Positive

Seconds = Annotated[float, Field(gt=0)]
Split = Literal["channels", "layers"]


class Work(Part):
    """What one of `ranks` ranks does in one training step of WideResNet-depth-k on images of 32 x 32; exact.

    Attributes:
        depth, widen_factor, variant, groups: the network.
        stem_channels: the paper's 16, or the number of groups where that is larger.
        ranks: p, the ranks that divide the channels or the layers.
        split: what the ranks divide. Ranks that divide the layers take turns: what is counted is all ranks' work but
            for `own_parameters`, those of the rank that holds most, and `received_bytes`, of all messages.
        images: batch size.
        parameters: of the whole network.
        own_parameters: of the rank.
        flops: floating point operations of a step, thrice those of the forward pass; a multiply-add is two.
        elements: numbers that the layers write in the forward pass.
        layers: number of layers with an output of their own.
        collectives: started by the rank; messages of ranks that divide the layers.
        received_bytes: the least that it must get from others.
    """

    depth: Positive
    widen_factor: Positive
    variant: str
    groups: Positive
    stem_channels: Positive
    ranks: Positive
    split: Split = "channels"
    images: Positive
    parameters: Positive
    own_parameters: Positive
    flops: Positive
    elements: Positive
    layers: Positive
    collectives: Count
    received_bytes: Count


class Timing(Part):
    """Times of repeated steps: the median, and the lowest and highest."""

    seconds: Seconds
    low: Seconds
    high: Seconds
    repeats: Positive


class ShareTime(Part):
    """The step of one rank alone, with synthetic data in place of the others; see `gc2l.parallel.rank_share`."""

    work: Work
    time: Timing
    peak_memory_bytes: Count


class RanksTime(Part):
    """The step of all ranks together.

    Attributes:
        work: of each rank.
        threads: that each rank computes with.
        overlap: whether GC-2L computes while it gathers.
        time: until the last rank has finished.
    """

    work: Work
    threads: Positive
    overlap: bool
    time: Timing


class LinkTime(Part):
    """One collective between the ranks: what each receives, and how long it takes."""

    collective: Literal["all_gather", "reduce_scatter"]
    ranks: Positive
    received_bytes: Positive
    time: Timing


class ScalingRecord(Measurement):
    """Everything measured for Table 2 on one machine.

    Attributes:
        schema_version: of this format.
        hardware: as in `Record`.
        device, precision: what computed, and in which numbers.
        cuda_graphs: whether the shares' steps were replayed as CUDA graphs, where that was possible.
        started, finished: in UTC.
        shares: single ranks, timed alone.
        together: ranks that run and communicate.
        link: the collectives alone.
        planned: networks to predict, which have not been run.
    """

    schema_version: Literal[1] = 1
    hardware: Hardware
    device: str
    precision: str
    cuda_graphs: bool = False
    started: AwareDatetime
    finished: AwareDatetime
    shares: tuple[ShareTime, ...]
    together: tuple[RanksTime, ...]
    link: tuple[LinkTime, ...]
    planned: tuple[Work, ...]


def read_scaling(folder: Path) -> list[ScalingRecord]:
    """The records of `folder`, by file name; none when it is missing.

    Raises:
        ValueError: a file that is no valid record.
    """
    return [read_measurement(ScalingRecord, path) for path in sorted(folder.glob("*.json"))]
