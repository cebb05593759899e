"""Training a cell, unless it has a record, to its record; in one process, or on several ranks."""

import sys
from collections.abc import Callable
from pathlib import Path

from gc2l.cells import Cell
from gc2l.parallel import Job
from gc2l.records import Record, RunStore, describe_environment, make_record
from gc2l.training import (
    Execution,
    Outcome,
    remove_checkpoints,
    remove_recorded_checkpoints,
    report_to_sweep,
    train,
)

REPOSITORY = Path(__file__).resolve().parents[3]
"""The checkout that an editable install runs from; records name its commit."""


Train = Callable[[Cell, Execution], Outcome]


def run_cell(
    cell: Cell, store: RunStore, execution: Execution, *, retrain: bool = False, train: Train = train
) -> Record:
    """The record of `cell`: from `store`, or from a run made now.

    A cell that another process is training is waited for. A W&B sweep that started the cell gets its record.

    Args:
        cell: what to train.
        store: where records are looked up and saved.
        execution: how to train.
        retrain: train even if there is a record, which the new one then replaces.
        train: does the training.

    Raises:
        Everything that `gc2l.training.train` raises. A diverged run raises nothing: its record says so.
    """
    record = None if retrain else store.find(cell)
    if record is None:
        with store.exclusive(
            cell, waiting=lambda who: _tell(f"{cell.slug} is being trained by {who}, waiting")
        ) as found:
            if found is None or retrain:
                if found is not None:
                    remove_recorded_checkpoints(cell, execution, [epoch.model_dump() for epoch in found.curve])
                # Before training: the code may be edited during a long run.
                environment = describe_environment(REPOSITORY)
                trained = make_record(cell, train(cell, execution), environment=environment)
                store.save(cell, trained)
                remove_checkpoints(cell, execution)
                return trained
        record = found
    report_to_sweep(cell, execution, curve=[epoch.model_dump() for epoch in record.curve], status=record.status)
    return record


def run_cell_on_ranks(
    cell: Cell, store: RunStore, execution: Execution, job: Job, *, retrain: bool = False
) -> Record | None:
    """`run_cell` with the channels divided between the ranks of `job`, all of which call.

    Rank 0 keeps the records, and the others wait for its word on whether to train.

    Returns:
        The record on rank 0, None on the others.
    """
    if job.rank > 0:
        if job.hear() == "train":
            train(cell, execution, job)
        return None
    word = "nothing to train"

    def train_on_ranks(cell: Cell, execution: Execution) -> Outcome:
        nonlocal word
        word = "train"
        job.tell(word)
        return train(cell, execution, job)

    record = run_cell(cell, store, execution, retrain=retrain, train=train_on_ranks)
    if word != "train":
        job.tell(word)
    return record


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
