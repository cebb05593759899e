from dataclasses import asdict, dataclass
from datetime import timedelta
from types import SimpleNamespace

import pytest
from records.samples import EXECUTION, HARDWARE, START, curve, record

from gc2l.cells import Cell, TrainingConfig
from gc2l.records import Environment, make_record

CELL = Cell(preset="tiny", training=TrainingConfig(epochs=3))
ENVIRONMENT = Environment(
    commit="0" * 40, dirty=False, versions={"python": "3.11.9", "torch": "2.13.0"}, hardware=HARDWARE
)


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    epoch: int
    learning_rate: float
    train_loss: float
    train_error_percent: float
    test_loss: float
    test_error_percent: float
    seconds: float


def outcome(**changes: object) -> SimpleNamespace:
    values = {
        "status": "finished",
        "message": None,
        "curve": tuple(EpochResult(**entry.model_dump()) for entry in curve(3)),
        "test_errors": 417,
        "test_rows": 10_000,
        "data_fingerprint": "abc",
        "parameters": 1000,
        "parameters_per_processor": 500,
        "execution": EXECUTION,
        "accelerator": None,
        "wall_seconds": 12.5,
        "images_per_second": 100.0,
        "peak_memory_bytes": 2**20,
        "overlap": None,
        "ranks": (),
        "assignment": (),
        "started": START,
        "finished": START + timedelta(seconds=13),
    }
    return SimpleNamespace(**values | changes)


@dataclass(frozen=True, kw_only=True)
class RankResult:
    rank: int = 1
    channel: int = 1
    data: int = 0
    host: str = "node1"
    parameters: int = 500
    peak_memory_bytes: int = 2**19
    collectives: int = 19
    received_bytes: int = 4096


def test_ranks_reach_the_record():
    made = make_record(CELL, outcome(overlap=True, ranks=(RankResult(),)), environment=ENVIRONMENT)
    assert made.parallel.overlap is True
    assert [rank.model_dump() for rank in made.parallel.ranks] == [asdict(RankResult())]
    with pytest.raises(ValueError, match="ranks"):
        make_record(CELL, outcome(overlap=True), environment=ENVIRONMENT)


def test_every_field_reaches_the_record():
    assert make_record(CELL, outcome(), environment=ENVIRONMENT) == record(CELL)


def test_the_accelerator_comes_from_the_run():
    made = make_record(CELL, outcome(accelerator="Example GPU"), environment=ENVIRONMENT)
    assert made.hardware == HARDWARE.model_copy(update={"accelerator": "Example GPU"})


def test_a_diverged_run():
    message = "the loss was nan in step 3 of epoch 1"
    diverged = outcome(status="diverged", message=message, curve=(), test_errors=None)
    assert make_record(CELL, diverged, environment=ENVIRONMENT) == record(CELL, errors=None)


def test_an_outcome_that_contradicts_the_cell_is_refused():
    with pytest.raises(ValueError, match="has 3 epochs"):
        make_record(Cell(training=TrainingConfig(epochs=2)), outcome(), environment=ENVIRONMENT)
    with pytest.raises(ValueError, match="threads"):
        make_record(CELL, outcome(execution=EXECUTION | {"threads": 0}), environment=ENVIRONMENT)
