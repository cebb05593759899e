"""Sharded checkpoints: written by four ranks, read by two times two, with the optimizer's momentum."""

import copy
from pathlib import Path

import pytest
import torch
from parallel.networks import Case, backward, batch, distance, optimizer
from parallel.ranks import run_on_ranks
from torch import nn

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


OPTIMIZERS = {
    "SGD": lambda values: torch.optim.SGD(values, lr=0.05, momentum=0.9),
    "Adam": lambda values: torch.optim.Adam(values, lr=1e-3),
    "AdamW": lambda values: torch.optim.AdamW(values, lr=1e-3, amsgrad=True),
    "fused Adam": lambda values: torch.optim.Adam(values, lr=1e-3, fused=True),
}


def _resume(folder: Path) -> dict[str, float]:
    """How far, with each optimizer, the weights of a resumed run are from those of an uninterrupted one."""
    mesh, found = make_mesh(2), {}
    for name, make in OPTIMIZERS.items():
        network = parallelize(CASE.build(), mesh)
        whole = make(network.parameters())
        for number in range(2):
            _step(network, whole, number)
        save_sharded(folder / name, network, whole, {}, mesh)
        _step(network, whole, 2)
        resumed = parallelize(CASE.build(seed=5), mesh)
        again = make(resumed.parameters())
        _step(resumed, again, 7)  # a state that loading replaces
        load_sharded(folder / name, resumed, again, mesh)
        _step(resumed, again, 2)
        found[name] = distance(consolidate(resumed, mesh), consolidate(network, mesh))
    return found


def test_every_optimizer_goes_on_as_if_uninterrupted(tmp_path):
    for rank in run_on_ranks(_resume, 2, tmp_path):
        assert rank == dict.fromkeys(OPTIMIZERS, 0.0)


def _refuse(folder: Path) -> list[str]:
    mesh = make_mesh(1)
    network = nn.Linear(4, 4)
    weight, bias = network.parameters()

    def sgd(*groups):
        return torch.optim.SGD([{"params": group} for group in groups], lr=0.5)

    path = folder / "checkpoint"
    save_sharded(path, network, sgd([weight], [bias]), {}, mesh)
    messages = []
    for other in (sgd([weight, bias]), sgd([bias], [weight]), torch.optim.Adam(network.parameters())):
        nn.init.zeros_(weight)
        state = copy.deepcopy(other.state_dict())
        with pytest.raises(ValueError, match="checkpoint does not fit") as caught:
            load_sharded(path, network, other, mesh)
        assert not weight.any()
        assert other.state_dict() == state
        messages.append(str(caught.value))
    factored = torch.optim.Adafactor(network.parameters())
    network(torch.ones(1, 4)).sum().backward()
    factored.step()
    for unfit in (factored, torch.optim.SGD(nn.Linear(4, 4).parameters())):
        with pytest.raises(ValueError) as caught:
            save_sharded(path, network, unfit, {}, mesh)
        messages.append(str(caught.value))
    nn.init.zeros_(weight)
    load_sharded(path, network, sgd([weight], [bias]), mesh)
    assert weight.all(), "the old checkpoint is still there"
    return messages


def test_another_optimizer_is_named_before_anything_changes(tmp_path):
    (messages,) = run_on_ranks(_refuse, 1, tmp_path)
    expected = [
        "its optimizer has 2 parameter groups, this has 1",
        "parameter group 0 of its optimizer differs from this one's by bias",
        "it is of the optimizer SGD, this is Adam",
        "the state of Adafactor cannot be divided: 'row_var' of weight is a tensor (4, 1)",
        "SGD has a parameter (4, 4) that the network has not",
    ]
    for message, part in zip(messages, expected, strict=True):
        assert part in message
