"""The naive model parallelism of the paper's baseline."""

import pytest
import torch
import torch.distributed as dist
from parallel.networks import Case, backward, batch, distance, gradients
from parallel.ranks import run_on_ranks
from torch import nn
from torch.nn import functional as F

from gc2l.parallel import layer_parts, layer_split_gradients, split_layers


def test_consecutive_units_share_a_device_and_activations_follow():
    network = split_layers(Case("sc", 1).build(), ["cpu", "meta"])  # stem and 3 units
    placed = [next(block.parameters()).device.type for block in (network.stem, *(stage[0] for stage in network.stages))]
    assert placed == ["cpu", "cpu", "meta", "meta"]
    assert network.norm.weight.device.type == network.classifier.weight.device.type == "meta"
    assert network(batch(0)[0]).device.type == "meta"


def test_the_split_network_computes_the_same():
    case = Case("sc", 1)
    whole, split = case.build(), split_layers(case.build(), ["cpu", "cpu", "cpu"])
    images, _ = batch(0)
    assert torch.equal(split(images), whole(images))
    assert split.state_dict().keys() == whole.state_dict().keys()


@pytest.mark.parametrize("count", [0, 5])
def test_too_few_or_too_many_devices(count):
    with pytest.raises(ValueError, match=f"{count} devices for a stem and 3 units; 1 to 4 are allowed"):
        split_layers(Case("sc", 1).build(), ["cpu"] * count)


def _distance(case: Case) -> float:
    """Of this rank's gradients in two passes over different batches from the whole network's."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    whole, split = case.build(), case.build()
    part = layer_parts(split, ranks)[rank]
    differentiate = layer_split_gradients(part, rank=rank, ranks=ranks, device="cpu", loss=F.cross_entropy)
    worst = 0.0
    for step in range(2):
        images, labels = batch(step)
        backward(whole, images, labels)
        split.zero_grad()
        differentiate(images, labels)
        own = gradients(split)
        assert own.keys() == {name for name, value in split.named_parameters() if _holds(part, value)}
        worst = max(worst, distance(own, {name: gradients(whole)[name] for name in own}))
    return worst


def _holds(part: nn.Module, parameter: nn.Parameter) -> bool:
    return any(parameter is own for own in part.parameters())


@pytest.mark.parametrize(("ranks", "case"), [(4, Case("sc", 1)), (2, Case("sc", 1, channels_last=True))], ids=str)
def test_parts_in_processes_of_their_own_find_the_same_gradients(ranks, case):
    assert max(run_on_ranks(_distance, ranks, case)) < 1e-12


def _distance_in_mixed_precision() -> float:
    """Of this rank's gradients from the whole network's under autocast, relative to each tensor's norm."""
    rank = dist.get_rank()
    whole, split = Case("sc", 1).build().float(), Case("sc", 1).build().float()
    part = layer_parts(split, 2)[rank]
    differentiate = layer_split_gradients(
        part, rank=rank, ranks=2, device="cpu", precision=torch.bfloat16, loss=F.cross_entropy
    )
    images, labels = batch(0)
    differentiate(images.float(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        logits = whole(images.float())
    F.cross_entropy(logits.float(), labels).backward()
    expected = gradients(whole)
    return max(
        float((value - expected[name]).norm() / expected[name].norm()) for name, value in gradients(split).items()
    )


def test_parts_compute_in_mixed_precision():
    distances = run_on_ranks(_distance_in_mixed_precision, 2)
    assert max(distances) < 0.05  # bfloat16 has 8 bits; a few layers
