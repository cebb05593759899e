"""What a layer's link takes from the installed torch and from the device."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist

from gc2l.parallel import Job
from gc2l.parallel.link import COLLECTIVES, _collectives


def test_every_collective_is_there_in_the_installed_torch():
    assert all(callable(getattr(dist, name)) for name in COLLECTIVES.values())


@pytest.mark.parametrize(
    ("names", "gather", "scatter"),
    [
        (["all_gather_into_tensor", "reduce_scatter_tensor"], "all_gather_into_tensor", "reduce_scatter_tensor"),
        (["all_gather_single", "reduce_scatter_single"], "all_gather_single", "reduce_scatter_single"),
    ],
    ids=["torch 2.11", "torch 2.13"],
)
def test_the_names_are_those_of_the_torch_that_is_there(names, gather, scatter):
    found = _collectives(names)
    assert (found["all_gather"], found["reduce_scatter"]) == (gather, scatter)


def test_a_rank_computes_on_its_own_gpu_or_on_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    for kind, device in (("cpu", "cpu"), ("cuda", "cuda:3")):
        job = Job(SimpleNamespace(device_type=kind), overlap=True)
        assert job.device == torch.device(device)
