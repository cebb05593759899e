from dataclasses import replace

import pytest
import torch
from small_run import cell, execution

from gc2l.models import build_model
from gc2l.training import ImageClassifier, train
from gc2l.training.parameter_groups import parameter_groups


def settings(network, config):
    """Rate and decay of each parameter by its name."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(network, config)
        for parameter in group["params"]
    }


def test_all_parameters_are_alike_unless_the_configuration_says_otherwise():
    run = cell(variant="gc2l", learning_rate=0.1, weight_decay=5e-4)
    network = build_model(run.model, 10)
    (group,) = parameter_groups(network, run.training)
    assert list(group["params"]) == list(network.parameters())
    assert (group["lr"], group["weight_decay"]) == (0.1, 5e-4)


@pytest.mark.parametrize(
    ("variant", "changes", "named", "expected"),
    [
        ("gc2l", {"undecayed": "coarse_level"}, ("restriction_weight", "coarse_weight"), (0.1, 0.0)),
        ("flgc", {"undecayed": "assignment"}, ("input_logits", "output_logits"), (0.1, 0.0)),
        ("flgc", {"assignment_rate": 10.0}, ("input_logits", "output_logits"), (1.0, 5e-4)),
    ],
)
def test_what_is_named_has_its_own_rate_or_decay(variant, changes, named, expected):
    run = cell(variant=variant, learning_rate=0.1, weight_decay=5e-4, **changes)
    found = settings(build_model(run.model, 10), run.training)
    chosen = {name for name in found if name.endswith(named)}
    assert chosen and {found[name] for name in chosen} == {expected}
    assert {found[name] for name in found.keys() - chosen} == {(0.1, 5e-4)}


@pytest.mark.parametrize("schedule", ["one_cycle", "step"])
def test_a_schedule_keeps_the_ratio_of_the_rates(schedule, tmp_path, monkeypatch):
    rates = []
    plain = ImageClassifier.on_train_epoch_end

    def remember(self):
        rates.append([group["lr"] for group in self.trainer.optimizers[0].param_groups])
        plain(self)

    monkeypatch.setattr(ImageClassifier, "on_train_epoch_end", remember)
    run = cell(epochs=2, variant="flgc", assignment_rate=10.0, schedule=schedule, milestones=(1,))
    train(run, execution(tmp_path))
    assert len(rates) == 2
    for own, logits in rates:
        assert logits == pytest.approx(10 * own)


def test_decay_alone_moves_what_has_no_gradient(tmp_path):
    """One step of SGD without gradients: w (1 - rate * decay) where weights decay, w where they do not."""
    run = cell(variant="gc2l", learning_rate=0.5, weight_decay=0.1, undecayed="coarse_level")
    network = build_model(run.model, 10)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    module = ImageClassifier(network, replace(run.training, schedule="step"), seed=1)
    optimizer = module.configure_optimizers()["optimizer"]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        factor = 1.0 if name.endswith(("restriction_weight", "coarse_weight")) else 0.95
        torch.testing.assert_close(parameter.detach(), factor * before[name])
