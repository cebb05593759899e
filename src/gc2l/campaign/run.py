"""Train a cell unless it has a record, in one process or on several ranks."""

import sys
from collections.abc import Callable

from gc2l.cells import Cell
from gc2l.parallel import Job
from gc2l.records import Record, RunStore
from gc2l.training import (
    Execution,
    exclusive_checkpoints,
    remove_checkpoints,
    remove_recorded_checkpoints,
    report_to_sweep,
    train,
)

Train = Callable[[Cell, Execution], Record]


def run_cell(
    cell: Cell, store: RunStore, execution: Execution, *, retrain: bool = False, train: Train = train
) -> Record:
    """The record of `cell`: from `store`, or from a run made now.

    A cell that another process is training, for this store or with the same scratch folder, is waited for. A W&B sweep
    that started the cell gets its record.

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

        def waiting(who: str) -> None:
            _log(f"{cell.slug} is being trained by {who}, waiting")

        with store.exclusive(cell, waiting=waiting) as found:
            if found is None or retrain:
                with exclusive_checkpoints(cell, execution, waiting=waiting):
                    if found is not None:
                        remove_recorded_checkpoints(cell, execution, [epoch.model_dump() for epoch in found.curve])
                    trained = train(cell, execution)
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

    Rank 0 keeps the records and announces to the others whether to train.

    Returns:
        The record on rank 0, None on the others.
    """
    if job.rank > 0:
        if job.await_announcement() == "train":
            train(cell, execution, job)
        return None
    message = "nothing to train"

    def train_on_ranks(cell: Cell, execution: Execution) -> Record:
        nonlocal message
        message = "train"
        job.announce(message)
        return train(cell, execution, job)

    record = run_cell(cell, store, execution, retrain=retrain, train=train_on_ranks)
    if message != "train":
        job.announce(message)
    return record


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
