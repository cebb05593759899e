"""The rank-local networks compute what the network in one process computes: logits, gradients, training steps."""

import contextlib
import copy
from unittest import mock

import pytest
import torch
from parallel.networks import Case, backward, batch, distance, gradients, optimizer
from parallel.ranks import run_on_ranks
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import distribute_tensor

from gc2l.parallel import collectives, consolidate, make_mesh, parallelize, placements
from gc2l.parallel.mesh import CHANNEL

# Sums over at most some thousand terms of size about 1, in another order, and two steps (the second has momentum):
# about 1e-13.
TOLERANCE = 1e-10

CASES = [
    *(Case(variant, 4) for variant in ("gc", "gc2l", "shuffle", "flgc")),
    Case("sc", 1),
    Case("gc2l", 4, overlap=False),
    Case("gc2l", 8),
    Case("gc2l", 4, coarse_channels=2),
    Case("gc2l", 4, restriction="mean"),
    Case("gc2l", 4, restriction="mean", channels_last=True),
    Case("shuffle", 8),  # on 4 ranks they exchange unequal numbers of channels: 2 a group
    Case("flgc", 3),
    *(Case(variant, 4, channels_last=True) for variant in ("gc2l", "shuffle", "flgc")),
    Case("gc2l", 4, overlap=False, channels_last=True),
    Case("gc2l", 8, coarse_channels=2, channels_last=True),
    Case("sc", 1, channels_last=True),
    Case("gc2l", 4, network="imagenet"),
    *(Case(variant, 4, network="mobilenet") for variant in ("gc2l", "flgc")),
]


def _distances(case: Case, steps: int = 2) -> dict[str, float]:
    """How far the rank-local network is from the whole one."""
    mesh = make_mesh(torch.distributed.get_world_size())
    whole = case.build()
    local = parallelize(copy.deepcopy(whole), mesh, overlap=case.overlap)
    size = 33 if case.network == "mobilenet" else 9
    optimizers = optimizer(whole), optimizer(local)
    found = {"logits": 0.0, "gradients": 0.0}
    for step in range(steps):
        images, labels = batch(step, size=size)
        if case.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        expected, logits = backward(whole, images, labels), backward(local, images, labels)
        found["logits"] = max(found["logits"], distance({"": logits}, {"": expected}))
        found["gradients"] = max(found["gradients"], distance(gradients(local), _shares(gradients(whole), local, mesh)))
        for each in optimizers:
            each.step()
    found["state"] = distance(consolidate(local, mesh), whole.state_dict())
    whole.eval(), local.eval()
    with torch.no_grad():
        found["evaluation"] = distance({"": local(images)}, {"": whole(images)})
    return found


def _shares(values: dict[str, Tensor], local: nn.Module, mesh: DeviceMesh) -> dict[str, Tensor]:
    """What this rank is to have of the whole network's values."""
    where, ranks = placements(local), mesh[CHANNEL]
    # Without a source rank nothing is sent: each takes its share of its own copy.
    return {
        name: distribute_tensor(value, ranks, [where[name]], src_data_rank=None).to_local()
        for name, value in values.items()
    }


def _distance_with_dropout() -> float:
    case = Case("gc2l", 4, network="mobilenet")
    whole = case.build(dropout=0.5)
    local = parallelize(copy.deepcopy(whole), make_mesh(torch.distributed.get_world_size()))
    images, _ = batch(0, size=33)
    with torch.no_grad():
        torch.manual_seed(1)
        expected = whole(images)
        torch.manual_seed(1)
        return distance({"": local(images)}, {"": expected})


def _without_sum(ctx, gradient):
    link = ctx.exchange.link
    ctx.exchange.transfer = mock.Mock(wait=gradient.chunk(link.size)[link.rank].contiguous)
    return gradient, None


WRONG = {
    "gradient of z not summed": lambda: mock.patch.object(
        collectives._FinishGather, "backward", staticmethod(_without_sum)
    ),
    "gathered in the wrong order": lambda: mock.patch.object(
        collectives._FinishGather, "forward", staticmethod(_reversed_ranks)
    ),
}


def _reversed_ranks(ctx, gathered, exchange):
    ctx.exchange = exchange
    exchange.wait()
    return torch.cat(gathered.chunk(exchange.link.size)[::-1])


def _everything(cases: list[Case]) -> dict[str, dict[str, float]]:
    found = {str(case): _distances(case) for case in cases}
    for name, wrong in WRONG.items():
        with contextlib.ExitStack() as stack:
            stack.enter_context(wrong())
            found[name] = _distances(Case("gc2l", 4), steps=1)
    found["dropout"] = {"logits": _distance_with_dropout()}
    return found


# One rank has nothing to send and needs few cases. On four the exchange differs from that on two, not the layout of the
# memory.
@pytest.mark.parametrize(
    ("p", "cases"),
    [(1, CASES[:5]), (2, CASES), (4, [case for case in CASES if not case.channels_last])],
    ids=["1", "2", "4"],
)
def test_the_rank_local_networks_equal_the_whole_ones(p, cases):
    # Processes take seconds to start, so all cases of a number of ranks run in one go, and in one test.
    for rank, found in enumerate(run_on_ranks(_everything, p, cases)):
        wrong = {name: found.pop(name) for name in WRONG}
        too_far = {name: values for name, values in found.items() if not max(values.values()) < TOLERANCE}
        assert not too_far, f"rank {rank} of {p}"
        for name, values in wrong.items():
            noticed = max(values.values()) > 1e-6
            assert noticed == (p > 1), name  # alone there is nothing to sum and no order
