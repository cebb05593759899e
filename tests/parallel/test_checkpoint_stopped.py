"""A sharded checkpoint that is replaced, and the job killed before any change of a name or removal of a file."""

import contextlib
import os
import shutil
from pathlib import Path
from unittest import mock

import torch
from parallel.ranks import run_on_ranks
from torch import nn

from gc2l.parallel import RankError, check_sharded, load_sharded, make_mesh, read_progress, save_sharded

CHANGES = ("rename", "replace", "unlink", "rmdir")


class _Killed(BaseException):
    """In place of the end of the process; PyTorch makes an error of it where it writes the files itself."""


def _save(path: Path, number: int, last: int | None = None) -> None:
    """Save checkpoint `number`, and end before that change of the folder which comes after `last` others."""
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, number)
    changes = 0

    def watched(call):
        def change(*arguments, **options):
            nonlocal changes
            if changes == last:
                raise _Killed
            changes += 1
            return call(*arguments, **options)

        return change

    with mock.patch.multiple(os, **{name: watched(getattr(os, name)) for name in CHANGES}):
        save_sharded(path, network, torch.optim.SGD(network.parameters()), {"epoch": number}, make_mesh(1))


def _load(path: Path) -> tuple[int, float]:
    """The number of the checkpoint, by its progress and by its weights."""
    check_sharded(path)
    network = nn.Linear(2, 2)
    progress = load_sharded(path, network, torch.optim.SGD(network.parameters()), make_mesh(1))
    assert progress == read_progress(path)
    assert len(network.weight.unique()) == 1
    return progress["epoch"], network.weight[0, 0].item()


def _stop_everywhere(folder: Path) -> list[dict]:
    """What is found after a stop at each step, and after the next save, which is stopped at each step, too."""
    _save(folder / "before" / "checkpoint", 1)
    found = []
    last, ended = 0, False
    while not ended:
        path = folder / str(last) / "checkpoint"
        shutil.copytree(path.parent.parent / "before", path.parent)
        with contextlib.suppress(_Killed, RankError):
            _save(path, 2, last)
            ended = True
        left = sorted(file.name for file in path.parent.iterdir())
        first = _load(path)
        with contextlib.suppress(_Killed, RankError):
            _save(path, 3, last)
        second = _load(path)
        _save(path, 4)
        found.append(
            {
                "left": left,
                "first": first,
                "second": second,
                "third": _load(path),
                "at the end": [file.name for file in path.parent.iterdir()],
            }
        )
        last += 1
    return found


def test_a_killed_job_leaves_the_old_checkpoint_or_the_new_one(tmp_path):
    (found,) = run_on_ranks(_stop_everywhere, 1, tmp_path)
    for trial in found:
        assert trial["first"] in ((1, 1.0), (2, 2.0))
        assert trial["second"] in (trial["first"], (3, 3.0))
        assert trial["third"] == (4, 4.0)
        assert trial["at the end"] == ["checkpoint"]
    assert [trial["first"][0] for trial in found] == sorted(trial["first"][0] for trial in found)
    states = [trial["left"] for trial in found]
    assert ["checkpoint.outdated", "checkpoint.partial"] in states, "the old has made place, the new not taken it"
    assert ["checkpoint", "checkpoint.outdated"] in states
    assert ["checkpoint", "checkpoint.partial"] in states
