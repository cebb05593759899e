"""Sharded checkpoints: written by four ranks, read by two times two, with the optimizer's momentum."""

from pathlib import Path

import pytest
from parallel.networks import Case, backward, batch, distance, optimizer
from parallel.ranks import run_on_ranks

from gc2l.parallel import consolidate, load_sharded, make_mesh, parallelize, save_sharded

CASE = Case("gc2l", 4)


def _step(network, sgd, number):
    backward(network, *batch(number))
    sgd.step()


def _save_and_load(folder: Path) -> dict:
    four, two = make_mesh(4), make_mesh(2)
    path = folder / "checkpoint"
    network = parallelize(CASE.build(), four)
    sgd = optimizer(network)
    for number in range(2):
        save_sharded(path, network, sgd, {"epoch": number, "curve": [{"loss": 0.5}]}, four)
        _step(network, sgd, number)
    sgd.param_groups[0]["lr"] /= 2  # as a schedule does
    save_sharded(path, network, sgd, {"epoch": 2, "curve": [{"loss": 0.25}]}, four)
    _step(network, sgd, 2)
    expected = consolidate(network, four)

    resumed = parallelize(CASE.build(seed=5), two)
    again = optimizer(resumed)
    progress = load_sharded(path, resumed, again, two)
    _step(resumed, again, 2)

    other = parallelize(Case("gc2l", 8).build(), four)
    before = consolidate(other, four)
    with pytest.raises(ValueError, match="another network") as caught:
        load_sharded(path, other, optimizer(other), four)
    with pytest.raises(FileNotFoundError):
        load_sharded(folder / "absent", other, optimizer(other), four)
    return {
        "resumed": distance(consolidate(resumed, two), expected),
        "progress": progress,
        "message": str(caught.value),
        "untouched": distance(consolidate(other, four), before),
        "again": load_sharded(path, resumed, again, two),
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    return run_on_ranks(_save_and_load, 4, folder), folder


def test_training_continues_at_another_number_of_ranks(found):
    for rank in found[0]:
        assert rank["resumed"] < 1e-10  # the third step needs the momentum of the first two, and the rate
        assert rank["progress"] == {"epoch": 2, "curve": [{"loss": 0.25}]}


def test_a_checkpoint_of_other_groups_is_refused_and_kept(found):
    for rank in found[0]:
        assert "stages.0.0.conv1.coarse_weight has shape (16, 4, 1, 1) there and (16, 8, 1, 1) here" in rank["message"]
        assert rank["untouched"] == 0
        assert rank["again"]["epoch"] == 2


def test_only_the_finished_checkpoint_is_left(found):
    assert [path.name for path in found[1].iterdir()] == ["checkpoint"]
