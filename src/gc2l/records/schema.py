"""The record of one training run: its configuration, machine and results. Version 1 of the file format."""

import json
import math
import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gc2l.cells.cell import configuration_hash
from gc2l.records.interval import Interval, wilson_interval

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Amount = Annotated[float, Field(ge=0)]
_MARKUP = r"[\x00-\x1f<>{}\[\]|\\`$]"
Name = Annotated[str, Field(pattern=rf"^[^{_MARKUP[1:-1]}]*$")]
"""Words of a machine or of a user, which pages and tables show: without the signs of HTML, Markdown and LaTeX."""


def plain_name(text: str) -> str:
    """`text` as a `Name`."""
    return re.sub(_MARKUP, " ", text)


class Part(BaseModel):
    """Base of all parts of a record: frozen, strict, without unknown fields, NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Hardware(Part):
    """The machine that trained.

    Attributes:
        platform: operating system and its version.
        machine: the instruction set, such as "x86_64".
        processor: the model of the processor.
        cores: logical cores that the process was allowed to use.
        memory_bytes: main memory.
        accelerator: the name of the GPU; None where the processor trained.
    """

    platform: Name
    machine: Name
    processor: Name
    cores: Positive
    memory_bytes: Positive
    accelerator: Name | None


class Execution(Part):
    """How the arithmetic was carried out: the values in effect, never "auto".

    Records from before there were CUDA graphs do not name them.
    """

    device: Name
    precision: Name
    compile: bool
    cuda_graphs: bool = False
    channels_last: bool
    threads: Positive


class Rank(Part):
    """One process of a channel-parallel run.

    Attributes:
        rank: its number.
        channel, data: its place among those that divide the channels, and those that divide a batch.
        host: the machine it ran on.
        parameters: those it held.
        peak_memory_bytes: its highest memory use.
        collectives: number of collectives in the first training step.
        received_bytes: the least number of bytes that it had to get from others in that step.
    """

    rank: Count
    channel: Count
    data: Count
    host: Name
    parameters: Positive
    peak_memory_bytes: Count
    collectives: Count
    received_bytes: Count


class Parallelism(Part):
    """The processes of a channel-parallel run, and whether GC-2L computed while it communicated."""

    overlap: bool
    ranks: Annotated[tuple[Rank, ...], Field(min_length=1)]


class Epoch(Part):
    """One pass over the training set, counted from 1.

    The learning rate is that of its last step; in records of commits before 2026-11-29 it is that of the step after.
    """

    epoch: Positive
    learning_rate: Amount
    train_loss: float
    train_error_percent: Percent
    test_loss: float
    test_error_percent: Percent
    seconds: Amount


class Assignment(Part):
    """How FLGC's assignment of channels to groups moved in one epoch, over all its layers.

    Attributes:
        epoch: counted from 1.
        channels: input and output channels of the layers.
        moved: those that ended the epoch in another group than they began it.
        logits_gradient, weights_gradient: Euclidean norms of the gradients of S and T, and of the weights, in the last
            step of the epoch.
    """

    epoch: Positive
    channels: Positive
    moved: Count
    logits_gradient: Amount
    weights_gradient: Amount


class Score(Part):
    """The final result on the test set; `interval` is the Wilson interval in percent."""

    errors: Count
    rows: Positive
    error_percent: Percent
    interval: Interval

    @classmethod
    def from_counts(cls, errors: int, rows: int) -> Self:
        """The score of `errors` wrong answers in `rows` images."""
        interval = wilson_interval(errors, rows)
        return cls(errors=errors, rows=rows, error_percent=100 * errors / rows, interval=interval)

    @model_validator(mode="after")
    def _check(self) -> Self:
        interval = wilson_interval(self.errors, self.rows)
        for name, value, expected in (
            ("error_percent", self.error_percent, 100 * self.errors / self.rows),
            ("interval.low", self.interval.low, interval.low),
            ("interval.high", self.interval.high, interval.high),
        ):
            if not math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9):
                raise ValueError(
                    f"{name}={value} does not follow from {self.errors} errors in {self.rows} rows: {expected}"
                )
        return self


class Record(Part):
    """One finished or diverged training run.

    Attributes:
        schema_version: of this format.
        preset: the preset that the run belongs to.
        configuration: what was run, exactly `Cell.configuration()`.
        identity: the hash of the configuration.
        seed: the configuration's seed.
        status: "diverged" when the loss stopped being finite; such a run has no test result.
        commit: the commit of the code, "unknown" outside a checkout.
        dirty: whether the code differed from that commit, in any session of the run, or the commit is unknown.
        versions: of Python and of the packages that decide a result.
        hardware: the machine.
        execution: how it was used.
        parallel: the ranks that divided channels; None where one process trained, and in records older than
            channel-parallel training.
        data_fingerprint: hash of the images and labels.
        parameters: nominal number of parameters of the network, in all groups.
        parameters_per_processor: of them, those that one of n processors holds.
        curve: the completed epochs.
        assignment: one for each of them where FLGC learned its groups in one process; none elsewhere, and in records
            older than this count.
        test: the result after the last epoch; None when diverged.
        message: where and how the run diverged; None when finished.
        weights_sha256: of the file of final weights; None when diverged, and in records older than this field.
        wall_seconds: training and evaluation, summed over all sessions of an interrupted run.
        images_per_second: training images per second of training.
        peak_memory_bytes: the highest memory use, of the accelerator where there is one, else of the process.
        started: when the last session began, in UTC.
        finished: when it ended, in UTC.
    """

    schema_version: Literal[1] = 1
    preset: Annotated[Name, Field(min_length=1)]
    configuration: dict[str, Any]
    identity: str
    seed: Count
    status: Literal["finished", "diverged"]
    commit: Annotated[Name, Field(min_length=1)]
    dirty: bool
    versions: dict[Name, Name]
    hardware: Hardware
    execution: Execution
    parallel: Parallelism | None = None
    data_fingerprint: Name
    parameters: Positive
    parameters_per_processor: Positive
    curve: tuple[Epoch, ...]
    assignment: tuple[Assignment, ...] = ()
    test: Score | None
    message: str | None
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    wall_seconds: Amount
    images_per_second: Amount
    peak_memory_bytes: Count
    started: AwareDatetime
    finished: AwareDatetime

    @model_validator(mode="after")
    def _check_configuration(self) -> Self:
        expected = configuration_hash(self.configuration)
        if self.identity != expected:
            raise ValueError(
                f"identity={self.identity!r} does not belong to the configuration, whose hash is {expected!r}"
            )
        if self.seed != self.configuration.get("seed"):
            raise ValueError(f"seed={self.seed} is not the configuration's seed={self.configuration.get('seed')}")
        return self

    @model_validator(mode="after")
    def _check_curve(self) -> Self:
        numbers = [entry.epoch for entry in self.curve]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"the curve's epochs are {numbers}, they must count 1, 2, 3, ...")
        epochs = self.configuration["training"]["epochs"]
        if len(numbers) > epochs or (self.status == "finished" and len(numbers) < epochs):
            raise ValueError(f"the curve of a {self.status} run has {len(numbers)} epochs, training.epochs={epochs}")
        if self.assignment and [entry.epoch for entry in self.assignment] != numbers:
            raise ValueError(f"assignment has the epochs {[e.epoch for e in self.assignment]}, the curve {numbers}")
        return self

    @model_validator(mode="after")
    def _check_outcome(self) -> Self:
        if self.status == "finished" and (self.test is None or self.message is not None):
            raise ValueError("a finished run has a test result and no message")
        if self.status == "diverged" and (self.test is not None or not self.message):
            raise ValueError("a diverged run has a message that says how, and no test result")
        if self.status == "diverged" and self.weights_sha256 is not None:
            raise ValueError(f"a diverged run has no weights, weights_sha256={self.weights_sha256!r}")
        if self.parameters_per_processor > self.parameters:
            raise ValueError(
                f"parameters_per_processor={self.parameters_per_processor} exceeds parameters={self.parameters}"
            )
        for name, moment in (("started", self.started), ("finished", self.finished)):
            if moment.utcoffset() != timedelta(0):
                raise ValueError(f"{name}={moment.isoformat()} must be in UTC")
        if self.finished < self.started:
            raise ValueError(f"finished={self.finished.isoformat()} lies before started={self.started.isoformat()}")
        return self


def to_json(record: Record) -> str:
    """The record as strict JSON with a final newline, one field a line."""
    return json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Record:
    """Read what `to_json` wrote.

    Raises:
        ValueError: text that is not JSON or not a valid record; one line for each problem.
    """
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, problem['loc'])) or 'record'}: {problem['msg']}" for problem in error.errors())
        raise ValueError("\n".join(problems)) from error
