"""Which checkpoints are kept, which is the newest, and how a run goes on from one."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gc2l.files import write_checked
from gc2l.training.checkpoints import EpochCheckpoint, Made, continued, newest_readable

CLEAN = Made(device="cpu", precision="float32", threads=2, images="ours", data_ranks=2, commit="a", dirty=False)


@pytest.fixture
def begun(tmp_path):
    """Write a checkpoint of a run that was made so."""

    def write(**changes):
        path = tmp_path / "0001.ckpt"
        torch.save({"made": asdict(replace(CLEAN, **changes))}, path)
        return path

    return write


@pytest.mark.parametrize(
    ("first", "now", "dirty"),
    [
        ({}, {}, False),
        ({"dirty": True}, {}, True),
        ({}, {"dirty": True}, True),
        ({}, {"commit": "b"}, True),
        ({"commit": "b", "dirty": True}, {}, True),
    ],
)
def test_a_run_is_dirty_if_a_session_was_or_its_sessions_are_of_two_commits(first, now, dirty, begun):
    session = replace(CLEAN, **now)
    assert continued(begun(**first), session) == replace(session, dirty=dirty)


@pytest.mark.parametrize("first", [{"device": "cuda"}, {"precision": "bfloat16"}])
def test_a_run_does_not_go_on_on_another_kind_of_device_or_in_another_precision(first, begun):
    made = replace(CLEAN, **first)
    how = f"--execution.device {made.device} --execution.precision {made.precision}"
    with pytest.raises(ValueError, match=f"made on {made.device} in {made.precision}, .* on cpu in float32: .*{how}"):
        continued(begun(**first), CLEAN)


def test_a_run_does_not_go_on_on_other_images(begun):
    with pytest.raises(ValueError, match="made on images with the fingerprint theirs, those here have ours: continue"):
        continued(begun(images="theirs"), CLEAN)


def test_a_run_keeps_its_threads(begun):
    with pytest.warns(UserWarning, match="3 in place of 2"):
        assert continued(begun(threads=3), CLEAN) == replace(CLEAN, threads=3)


def test_a_checkpoint_that_does_not_say_how_it_was_made_goes_on_as_this_session(tmp_path):
    torch.save({}, tmp_path / "old.ckpt")
    assert continued(tmp_path / "old.ckpt", CLEAN) == CLEAN


def test_epochs_with_five_digits_are_newer_than_those_with_four(tmp_path):
    trainer = SimpleNamespace(save_checkpoint=lambda path: write_checked(Path(path), "-"), is_global_zero=True)
    callback = EpochCheckpoint(tmp_path, "identity", CLEAN)
    for trainer.current_epoch in range(9997, 10001):
        callback.on_train_epoch_end(trainer, None)
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {"10000.ckpt", "10001.ckpt"}
    for name in ("9999.ckpt", "10000.ckpt", "10001.ckpt"):
        torch.save({"cell": "identity"}, tmp_path / name)
        write_checked(tmp_path / name, (tmp_path / name).read_bytes())
    assert newest_readable(tmp_path, "identity").name == "10001.ckpt"
    (tmp_path / "10001.ckpt").unlink()
    assert newest_readable(tmp_path, "identity").name == "10000.ckpt"


def test_a_run_goes_on_only_with_batches_divided_into_as_many_parts(begun, tmp_path):
    with pytest.raises(ValueError, match=r"made with batches in 2 parts, this run has 1: .* 2 times as many processes"):
        continued(begun(), replace(CLEAN, data_ranks=1))
    older = {name: value for name, value in asdict(CLEAN).items() if name != "data_ranks"}
    torch.save({"made": older}, tmp_path / "older.ckpt")
    for data_ranks in (1, 2):
        now = replace(CLEAN, data_ranks=data_ranks)
        assert continued(tmp_path / "older.ckpt", now) == now
