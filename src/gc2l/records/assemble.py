"""From the outcome of a training run to its record."""

from typing import TYPE_CHECKING

from gc2l.cells import Cell
from gc2l.records.environment import Environment
from gc2l.records.schema import Epoch, Execution, Parallelism, Rank, Record, Score, plain_name

if TYPE_CHECKING:  # training imports torch, records do not
    from gc2l.training.outcome import Outcome


def make_record(cell: Cell, outcome: "Outcome", *, environment: Environment) -> Record:
    """The record of `cell`, which ran with this outcome in this environment.

    Raises:
        ValueError: an outcome that contradicts the cell, such as a finished run with missing epochs.
    """
    accelerator = None if outcome.accelerator is None else plain_name(outcome.accelerator)
    hardware = environment.hardware.model_copy(update={"accelerator": accelerator})
    errors = outcome.test_errors
    ranks = tuple(Rank.model_validate(rank, from_attributes=True) for rank in outcome.ranks)
    return Record(
        preset=cell.preset,
        configuration=cell.configuration(),
        identity=cell.identity,
        seed=cell.seed,
        status=outcome.status,
        commit=environment.commit,
        dirty=environment.dirty,
        versions=environment.versions,
        hardware=hardware,
        execution=Execution.model_validate(outcome.execution),
        parallel=None if outcome.overlap is None else Parallelism(overlap=outcome.overlap, ranks=ranks),
        data_fingerprint=outcome.data_fingerprint,
        parameters=outcome.parameters,
        parameters_per_processor=outcome.parameters_per_processor,
        curve=tuple(Epoch.model_validate(entry, from_attributes=True) for entry in outcome.curve),
        test=None if errors is None else Score.from_counts(errors, outcome.test_rows),
        message=outcome.message,
        wall_seconds=outcome.wall_seconds,
        images_per_second=outcome.images_per_second,
        peak_memory_bytes=outcome.peak_memory_bytes,
        started=outcome.started,
        finished=outcome.finished,
    )
