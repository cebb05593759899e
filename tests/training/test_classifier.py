"""The optimiser, the schedule and the random numbers of a run, without training a network."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gc2l.cells import TrainingConfig
from gc2l.training import ImageClassifier


def module_of(network, *, seed=1, **training):
    return ImageClassifier(network, TrainingConfig(**training), seed=seed)


def test_two_steps_of_sgd_with_momentum_by_hand():
    network = nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(network.weight)
    module = module_of(network, learning_rate=0.5, momentum=0.75, weight_decay=0.25, schedule="step")
    optimizer = module.configure_optimizers()["optimizer"]
    found = []
    for gradient in (2.0, 4.0):
        network.weight.grad = torch.full_like(network.weight, gradient)
        optimizer.step()
        found.append(network.weight.item())
    first = 2 + 0.25 * 1
    weight = 1 - 0.5 * first
    second = 0.75 * first + 4 + 0.25 * weight
    assert found == pytest.approx([weight, weight - 0.5 * second], rel=1e-12)


def test_one_cycle_rises_in_a_share_of_the_steps_and_leaves_the_momentum_alone():
    module = module_of(nn.Linear(1, 1), learning_rate=0.1, momentum=0.9, schedule="one_cycle", warmup_fraction=0.25)
    module.trainer = SimpleNamespace(estimated_stepping_batches=20)
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert configured["lr_scheduler"]["interval"] == "step"

    def cosine(start, end, share):
        return start + (end - start) * (1 - math.cos(math.pi * share)) / 2

    # The fifth of twenty steps has the peak; the first a 25th of it, the last a 10,000th of that.
    expected = [cosine(0.1 / 25, 0.1, step / 4) for step in range(5)]
    expected += [cosine(0.1, 0.1 / 25 / 1e4, step / 15) for step in range(1, 16)]
    for rate in expected:
        (group,) = optimizer.param_groups
        assert group["lr"] == pytest.approx(rate, rel=1e-9)
        assert group["momentum"] == 0.9
        optimizer.step()
        schedule.step()


def test_what_the_network_draws_depends_on_seed_and_epoch_alone():
    def drawn(seed, epoch):
        module = module_of(nn.Dropout(), seed=seed)
        module.trainer = SimpleNamespace(current_epoch=epoch)
        module.on_train_epoch_start()
        return tuple(torch.rand(4).tolist())

    with torch.random.fork_rng(devices=[]):
        first = {(seed, epoch): drawn(seed, epoch) for seed in (1, 2) for epoch in (0, 1, 2)}
        assert len(set(first.values())) == 6
        assert all(drawn(*where) == found for where, found in first.items())
