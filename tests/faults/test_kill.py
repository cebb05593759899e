"""Processes killed at any moment: the next one continues to bit-identical weights, and no record is lost or doubled."""

import socket
import time
from pathlib import Path

import pytest
from faults.runs import THREE_EPOCHS as RUN
from faults.runs import die_at_call, end, run_alone, run_on_rank, run_on_rank_until_record, run_until_record, start
from safetensors.torch import load
from small_run import cell, execution

from gc2l.campaign import run as campaign
from gc2l.campaign.run import run_cell
from gc2l.cells import Cell
from gc2l.files import read_checked
from gc2l.records import Record, RunStore
from gc2l.training import ImageClassifier
from gc2l.training.run import weights_path

LIMIT = 200


def check(folder: Path, whole: Path, run: Cell = RUN) -> None:
    """Compare the one record, and the final weights, with those of a run that nobody disturbed."""
    (record,), (expected,) = RunStore(folder / "runs").all(), RunStore(whole / "runs").all()
    for one, other in zip(record.curve, expected.curve, strict=True):
        assert one.model_copy(update={"seconds": 0.0}) == other.model_copy(update={"seconds": 0.0})
    assert record.test == expected.test
    assert _sent(record) == _sent(expected)
    found = read_checked(weights_path(run, execution(folder)))
    assert found == read_checked(weights_path(run, execution(whole)))
    assert load(found)


def _sent(record: Record) -> list[tuple[int, int]]:
    return [(rank.collectives, rank.received_bytes) for rank in record.parallel.ranks] if record.parallel else []


def test_killed_at_random(trials, whole, tmp_path):
    expected, seconds = whole

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        for _ in range(LIMIT):
            process = start(run_alone, RUN, folder)
            process.join(rng.uniform(0.3, 1.2) * seconds)
            killed = process.exitcode is None
            process.kill()
            process.join()
            if not killed:
                assert process.exitcode == 0, (folder / "output.txt").read_text()
                break
        check(folder, expected)

    trials.run("SIGKILL at random, until a run ends: bit-identical weights, one record", trial, short=1, long=200)


def test_killed_around_every_write(trials, whole, tmp_path):
    expected, _ = whole

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        status = end(start(die_at_call, rng.randrange(120), run_alone, RUN, folder))
        assert status in (0, -9), (folder / "output.txt").read_text()
        assert end(start(run_alone, RUN, folder)) == 0, (folder / "output.txt").read_text()
        check(folder, expected)

    trials.run("SIGKILL right before or after a write: bit-identical weights, one record", trial, short=2, long=200)


def test_killed_between_training_and_record(trials, whole, tmp_path, monkeypatch):
    expected, _ = whole

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        after = rng.random() < 0.5
        assert end(start(run_until_record, after, RUN, folder)) == -9
        checkpoints = [path.name for path in sorted(folder.glob("checkpoints/*/*.ckpt"))]
        assert checkpoints == ["0002.ckpt", "0003.ckpt"]
        with monkeypatch.context() as patch:
            patch.setattr(ImageClassifier, "on_train_epoch_start", _trained_again)
            run_alone(RUN, folder)
        check(folder, expected)

    trials.run("SIGKILL between training and record: nothing is trained again", trial, short=1, long=100)


def _trained_again(module: ImageClassifier) -> None:
    raise AssertionError(f"epoch {module.current_epoch} again")


def test_retraining_does_not_take_up_the_run_of_the_record(tmp_path, monkeypatch):
    run, store, epochs = cell(epochs=2), RunStore(tmp_path / "runs"), []
    start = ImageClassifier.on_train_epoch_start

    def counted(self):
        epochs.append(self.current_epoch)
        if self.current_epoch == stop:
            raise KeyboardInterrupt
        start(self)

    monkeypatch.setattr(ImageClassifier, "on_train_epoch_start", counted)
    stop = None
    with monkeypatch.context() as patch:
        patch.setattr(campaign, "remove_checkpoints", _killed)
        with pytest.raises(KeyboardInterrupt):
            run_cell(run, store, execution(tmp_path))
    recorded = store.find(run)
    assert recorded is not None and len(list(tmp_path.glob("checkpoints/*/*.ckpt"))) == 2
    stop = 1
    with pytest.raises(KeyboardInterrupt):
        run_cell(run, store, execution(tmp_path), retrain=True)
    stop = None
    again = run_cell(run, store, execution(tmp_path), retrain=True)
    assert epochs == [0, 1, 0, 1, 1], "the record's run is not continued, the stopped one is"
    assert again.curve != recorded.curve and again.test == recorded.test
    assert not list(tmp_path.glob("checkpoints/*"))


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_one_of_two_ranks_killed(trials, tmp_path):
    run = cell(epochs=2)

    def both(folder, on_rank=run_on_rank):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return [start(on_rank, rank, 2, port, run, folder) for rank in range(2)]

    expected = tmp_path / "whole"
    expected.mkdir()
    begun = time.monotonic()
    assert [end(rank) for rank in both(expected)] == [0, 0], (expected / "output.txt").read_text()
    seconds = time.monotonic() - begun

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        if rng.random() < 0.3:
            ranks = both(folder, run_on_rank_until_record)
        else:
            ranks = both(folder)
            victim = rng.choice(ranks)
            victim.join(rng.uniform(0.3, 1.0) * seconds)
            victim.kill()
        for rank in ranks:
            rank.join(400)
            assert rank.exitcode is not None, "the other rank did not end"
        assert [end(rank) for rank in both(folder)] == [0, 0], (folder / "output.txt").read_text()
        check(folder, expected, run)

    trials.run("SIGKILL of one of two ranks: bit-identical weights, one record", trial, short=1, long=40)
