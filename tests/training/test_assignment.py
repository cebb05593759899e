from dataclasses import replace

import pytest
import torch
from small_run import cell, execution, stop_in_epoch

from gc2l.nn import LearnableGroupConv2d
from gc2l.training import ImageClassifier, train


def groups(network):
    return {
        f"{name}.{kind}": getattr(layer, kind).argmax(1)
        for name, layer in network.named_modules()
        if isinstance(layer, LearnableGroupConv2d)
        for kind in ("input_logits", "output_logits")
    }


def test_moves_and_gradients_are_those_of_each_epoch(tmp_path, monkeypatch):
    seen, norms = [], []
    start, step, end = (
        getattr(ImageClassifier, name) for name in ("on_train_epoch_start", "optimizer_step", "on_train_epoch_end")
    )

    def remember_start(self):
        start(self)
        seen.append(groups(self.network))

    def remember_step(self, *arguments):
        step(self, *arguments)
        layers = [layer for layer in self.network.modules() if isinstance(layer, LearnableGroupConv2d)]
        logits = [one.grad for layer in layers for one in (layer.input_logits, layer.output_logits)]
        weights = [layer.weight.grad for layer in layers]
        norms.append([sum(float((one**2).sum()) for one in found) ** 0.5 for found in (logits, weights)])

    def remember_end(self):
        end(self)
        seen.append(groups(self.network))

    monkeypatch.setattr(ImageClassifier, "on_train_epoch_start", remember_start)
    monkeypatch.setattr(ImageClassifier, "optimizer_step", remember_step)
    monkeypatch.setattr(ImageClassifier, "on_train_epoch_end", remember_end)
    # A rate at which channels do change their groups.
    outcome = train(cell(epochs=2, variant="flgc", assignment_rate=100.0), execution(tmp_path))
    assert [entry.epoch for entry in outcome.assignment] == [1, 2]
    for epoch, entry in enumerate(outcome.assignment):
        before, after = seen[2 * epoch : 2 * epoch + 2]
        assert entry.channels == sum(len(one) for one in before.values())
        assert entry.moved == sum(int((before[name] != after[name]).sum()) for name in before)
        last = norms[len(norms) // 2 * (epoch + 1) - 1]
        assert [entry.logits_gradient, entry.weights_gradient] == pytest.approx(last, rel=1e-5)
    assert outcome.assignment[0].moved > 0


@pytest.mark.parametrize("options", [{"variant": "gc"}, {"variant": "flgc", "assignment": "frozen"}])
def test_without_groups_to_learn_there_is_nothing_to_count(options, tmp_path):
    run = cell(epochs=1)
    assert train(replace(run, model=replace(run.model, **options)), execution(tmp_path)).assignment == ()


def test_a_stopped_run_keeps_its_counts(tmp_path, monkeypatch):
    run = cell(epochs=3, variant="flgc", assignment_rate=100.0)
    whole = train(run, execution(tmp_path / "whole"))
    stop_in_epoch(2, run, execution(tmp_path / "stopped"))
    assert train(run, execution(tmp_path / "stopped")).assignment == whole.assignment


def test_a_run_that_diverges_in_the_test_has_as_many_counts_as_epochs(tmp_path, monkeypatch):
    plain = ImageClassifier._loss_and_errors

    def loss_and_errors(self, images, labels):
        loss, errors = plain(self, images, labels)
        return (loss if self.training or self.current_epoch == 0 else loss * torch.nan), errors

    monkeypatch.setattr(ImageClassifier, "_loss_and_errors", loss_and_errors)
    outcome = train(cell(epochs=2, variant="flgc"), execution(tmp_path))
    assert outcome.status == "diverged"
    assert [entry.epoch for entry in outcome.assignment] == [point.epoch for point in outcome.curve] == [1]
