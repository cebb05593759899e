"""The naive model parallelism of the paper's baseline."""

import pytest
import torch
from parallel.networks import Case, batch

from gc2l.parallel import split_layers


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
