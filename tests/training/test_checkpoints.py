"""How a run goes on from a checkpoint, by what the checkpoint says and what the session is."""

from dataclasses import asdict, replace

import pytest
import torch

from gc2l.training.checkpoints import Made, continued

CLEAN = Made(device="cpu", precision="float32", threads=2, commit="a", dirty=False)


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


def test_a_run_keeps_its_threads(begun):
    with pytest.warns(UserWarning, match="3 in place of 2"):
        assert continued(begun(threads=3), CLEAN) == replace(CLEAN, threads=3)


def test_a_checkpoint_that_does_not_say_how_it_was_made_goes_on_as_this_session(tmp_path):
    torch.save({}, tmp_path / "old.ckpt")
    assert continued(tmp_path / "old.ckpt", CLEAN) == CLEAN
