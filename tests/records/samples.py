"""Records that no training made, for the tests of records and analysis."""

from datetime import UTC, datetime, timedelta
from typing import Any

from gc2l.cells import Cell
from gc2l.records import Epoch, Execution, Hardware, Record, Score

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HARDWARE = Hardware(
    platform="Linux-6", machine="x86_64", processor="Example 3000", cores=2, memory_bytes=2**34, accelerator=None
)
EXECUTION = {"device": "cpu", "precision": "32-true", "compile": False, "channels_last": True, "threads": 2}


def curve(epochs: int) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(
            epoch=epoch,
            learning_rate=0.1,
            train_loss=1 / epoch,
            train_error_percent=50 / epoch,
            test_loss=2 / epoch,
            test_error_percent=60 / epoch,
            seconds=1.5,
        )
        for epoch in range(1, epochs + 1)
    )


def fields(cell: Cell, *, errors: int | None = 417, rows: int = 10_000) -> dict[str, Any]:
    """The arguments of `Record` for a run with `errors` wrong answers; None diverges in the first epoch."""
    diverged = errors is None
    return {
        "preset": cell.preset,
        "configuration": cell.configuration(),
        "identity": cell.identity,
        "seed": cell.seed,
        "status": "diverged" if diverged else "finished",
        "commit": "0" * 40,
        "dirty": False,
        "versions": {"python": "3.11.9", "torch": "2.13.0"},
        "hardware": HARDWARE,
        "execution": Execution(**EXECUTION),
        "data_fingerprint": "abc",
        "parameters": 1000,
        "parameters_per_processor": 500,
        "curve": () if diverged else curve(cell.training.epochs),
        "test": None if diverged else Score.from_counts(errors, rows),
        "message": "the loss was nan in step 3 of epoch 1" if diverged else None,
        "wall_seconds": 12.5,
        "images_per_second": 100.0,
        "peak_memory_bytes": 2**20,
        "started": START,
        "finished": START + timedelta(seconds=13),
    }


def record(cell: Cell, *, errors: int | None = 417, rows: int = 10_000) -> Record:
    return Record(**fields(cell, errors=errors, rows=rows))
