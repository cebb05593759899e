import copy

import pytest
import torch
from torch import nn

from gc2l.cells import Cell, DataConfig, ModelConfig, TrainingConfig
from gc2l.data import make_data_module
from gc2l.models import build_model
from gc2l.training import fine_tune, renew_statistics

CELL = Cell(
    model=ModelConfig(depth=10, width=0.5),
    data=DataConfig(name="digits"),
    training=TrainingConfig(epochs=1, batch_size=128, learning_rate=0.05, schedule="one_cycle"),
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_model(CELL.model, 10)


def _losses(network):
    data = make_data_module(CELL.data, batch_size=128, seed=1)
    data.setup()
    with torch.no_grad():
        batches = [data.on_after_batch_transfer(batch, 0) for batch in data.val_dataloader()]
        return sum(nn.functional.cross_entropy(network.eval()(x), y).item() for x, y in batches)


def test_a_network_in_evaluation_mode_is_trained_in_place_batch_norms_too(network):
    before, norm = _losses(network), network.norm.running_mean.clone()
    fine_tune(network.eval(), CELL)
    assert _losses(network) < before
    assert not torch.equal(network.norm.running_mean, norm)


def test_renewed_statistics_are_those_of_the_training_images(network):
    weights = copy.deepcopy(dict(network.named_parameters()))
    inputs = []
    network.stages[0][0].norm1.register_forward_pre_hook(lambda _, x: inputs.append(x[0]))
    renew_statistics(network, CELL)
    assert all(torch.equal(value, weights[name]) for name, value in network.named_parameters())
    # The mean of the means of the batches, of which only the last is smaller.
    expected = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    torch.testing.assert_close(network.stages[0][0].norm1.running_mean, expected, rtol=1e-4, atol=1e-5)
