"""What a training run leaves behind: plain values, so that a record can be made of them without torch."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One point of the curves.

    Attributes:
        epoch: number of the epoch, from 1.
        learning_rate: rate of the epoch's last step.
        train_loss, train_error_percent: mean over the epoch's augmented training images, weights changing meanwhile.
        test_loss, test_error_percent: mean over the test images after the epoch.
        seconds: wall-clock time of the training pass, without the test.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_error_percent: float
    test_loss: float
    test_error_percent: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AssignmentResult:
    """How FLGC's assignment moved in one epoch, over all its layers.

    Attributes:
        epoch: number of the epoch, from 1.
        channels: input and output channels of the layers.
        moved: those that ended the epoch in another group than they began it.
        logits_gradient, weights_gradient: Euclidean norms of the gradients of S and T, and of the weights, in the last
            step of the epoch.
    """

    epoch: int
    channels: int
    moved: int
    logits_gradient: float
    weights_gradient: float


@dataclass(frozen=True, kw_only=True)
class RankResult:
    """What one rank of a channel-parallel run has to tell.

    Attributes:
        rank: number of the process.
        channel, data: its place in the mesh.
        host: the machine it ran on.
        parameters: those it held.
        peak_memory_bytes: as in `Outcome`, of this rank.
        collectives: number of collectives that the first training step started.
        received_bytes: bytes that this rank had at least to get from others in that step.
    """

    rank: int
    channel: int
    data: int
    host: str
    parameters: int
    peak_memory_bytes: int
    collectives: int
    received_bytes: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A run that has ended.

    Attributes:
        status: "finished", or "diverged" when the training loss stopped being finite.
        message: why it diverged.
        curve: the completed epochs.
        test_errors: wrongly classified test images after the last epoch; None when diverged.
        test_rows: number of test images.
        data_fingerprint: SHA-256 of the images and labels.
        parameters: parameters of the network; FLGC counted nominally, as in the paper.
        parameters_per_processor: those that one of n processors holds in channel-parallel execution.
        execution: device, precision, compile, cuda_graphs, channels_last and threads as they really were.
        accelerator: name of the accelerator, None on a CPU.
        wall_seconds: training and testing, summed over all sessions of a resumed run.
        images_per_second: training images per second of training time, compilation included.
        peak_memory_bytes: peak of the accelerator's allocations, or on a CPU of the process's resident memory.
        overlap: whether GC-2L computed while it communicated; None in one process.
        ranks: one for each process of a channel-parallel run, none for one process.
        assignment: one for each epoch where FLGC learns its groups in one process, else none.
        started, finished: times in UTC; `started` is that of the last session.
    """

    status: Literal["finished", "diverged"]
    message: str | None
    curve: tuple[EpochResult, ...]
    test_errors: int | None
    test_rows: int
    data_fingerprint: str
    parameters: int
    parameters_per_processor: int
    execution: dict[str, str | bool | int]
    accelerator: str | None
    wall_seconds: float
    images_per_second: float
    peak_memory_bytes: int
    overlap: bool | None
    ranks: tuple[RankResult, ...]
    assignment: tuple[AssignmentResult, ...]
    started: datetime
    finished: datetime
