"""A captured training step against the plain loop, with a recorder of operations in place of CUDA's."""

import logging
from dataclasses import replace

import pytest
import torch
from small_run import cell, execution
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from gc2l.bench.device import Device
from gc2l.bench.steps import TrainingStep
from gc2l.training import ImageClassifier, train
from gc2l.training import run as run_module
from gc2l.training.graph import WARM_UP_STEPS, GraphedStep

BATCHES = 12


class _Tape(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        results = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, results))
        return results


def _tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [one for entry in value for one in _tensors(entry)] if isinstance(value, list | tuple) else []


class TapeGraphs:
    """Records operations with their tensors and numbers, and repeats exactly these: what is not on the tape is stale.

    Unlike CUDA's capture it cannot record without computing, so the state is put back.
    """

    def __init__(self, state):
        self._state = state
        self.captures = self.replays = 0

    def aside(self, step):
        return step()

    def capture(self, step):
        self.captures += 1
        state = self._state()
        before = [value.detach().clone() for value in state]
        with _Tape() as tape:
            results = step()
        with torch.no_grad():
            for value, old in zip(state, before, strict=True):
                value.copy_(old)

        def replay():
            self.replays += 1
            with torch.no_grad():
                for func, args, kwargs, outputs in tape.operations:
                    again = func(*args, **kwargs)
                    for own, new in zip(_tensors(outputs), _tensors(again), strict=True):
                        if own.data_ptr() != new.data_ptr():
                            own.copy_(new)
            return results

        return replay


def _network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(4 * 16, 10),
    )


def _batches():
    generator = torch.Generator().manual_seed(4)
    return [
        (torch.randn(6, 3, 8, 8, generator=generator), torch.randint(10, (6,), generator=generator))
        for _ in range(BATCHES)
    ]


def _trained(graphs=None, *, bfloat16=False):
    """Losses and state after training with a rate that changes in each step; powers of 2 are exact in float32."""
    network = _network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.125, momentum=0.9, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step % 3))

    def forward(images, labels):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = network(images).float()
        return F.cross_entropy(logits, labels), (logits.argmax(1) != labels).sum()

    def state():
        return [*network.state_dict().values(), *(one["momentum_buffer"] for one in optimizer.state.values())]

    graphed = None if graphs is None else GraphedStep(forward, optimizer, graphs(state))
    told = []
    for number, (images, labels) in enumerate(_batches()):
        if graphed is None or number == 8:  # a smaller batch in between is taken as it is
            optimizer.zero_grad()
            loss, errors = forward(images[: 2 if number == 8 else 6], labels[: 2 if number == 8 else 6])
            loss.backward()
            optimizer.step()
        else:
            loss, errors = graphed(images, labels)
        schedule.step()
        told += [float(loss.detach()), int(errors)]
    return told, [value.clone() for value in state()], graphed


@pytest.mark.parametrize("bfloat16", [False, True])
def test_captured_steps_are_those_of_the_plain_loop_bit_for_bit(bfloat16):
    made = []

    def graphs(state):
        made.append(TapeGraphs(state))
        return made[0]

    plain_told, plain_state, _ = _trained(bfloat16=bfloat16)
    told, state, graphed = _trained(graphs, bfloat16=bfloat16)
    assert told == plain_told
    for mine, other in zip(state, plain_state, strict=True):
        assert torch.equal(mine, other)
    assert graphed.captured
    assert (made[0].captures, made[0].replays) == (1, BATCHES - 1 - WARM_UP_STEPS)


def test_a_learning_rate_that_is_a_number_would_be_stale(monkeypatch):
    plain, _, _ = _trained()
    step = GraphedStep._step
    monkeypatch.setattr(GraphedStep, "_step", lambda self, images, labels, rates=(): step(self, images, labels))
    assert _trained(TapeGraphs)[0] != plain


def test_what_cannot_be_captured_is_told_once_and_taken_as_it_is(caplog):
    class Refusing(TapeGraphs):
        def capture(self, step):
            step_error = "operation not permitted when stream is capturing\nCompile with TORCH_USE_CUDA_DSA"
            raise RuntimeError(step_error)

    plain_told, plain_state, _ = _trained()
    with caplog.at_level(logging.WARNING):
        told, state, graphed = _trained(Refusing)
    assert told == plain_told
    assert all(torch.equal(mine, other) for mine, other in zip(state, plain_state, strict=True))
    assert not graphed.captured
    assert [record.getMessage() for record in caplog.records] == [
        "the training step is not captured as a CUDA graph: operation not permitted when stream is capturing"
    ]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("schedule", ["step", "one_cycle"])
def test_a_run_with_captured_steps_has_the_plain_runs_curve(schedule, precision, tmp_path, monkeypatch):
    # SC, because the other layers take their plain formula while operations are recorded.
    run = cell(variant="sc", groups=1, schedule=schedule, milestones=(1,), learning_rate=0.125, gamma=0.5, epochs=2)
    how = execution(tmp_path / "plain", precision=precision)
    plain = train(run, how)
    made = []

    class Graphed(ImageClassifier):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            made.append(TapeGraphs(self._state))
            self._make_graphs = lambda: made[0]

        def _state(self):
            buffers = self.trainer.optimizers[0].state.values()
            return [*self.network.state_dict().values(), *(one["momentum_buffer"] for one in buffers)]

    monkeypatch.setattr(run_module, "ImageClassifier", Graphed)
    captured = train(run, replace(how, scratch=tmp_path / "captured"))
    steps = 2 * (1437 // run.training.batch_size)
    assert (made[0].captures, made[0].replays) == (1, steps - WARM_UP_STEPS)
    assert (plain.execution.cuda_graphs, captured.execution.cuda_graphs) == (False, True)
    exact = schedule == "step"  # one-cycle's rates are rounded to float32
    for mine, other in zip(captured.curve, plain.curve, strict=True):
        assert mine.learning_rate == other.learning_rate
        assert mine.train_loss == (other.train_loss if exact else pytest.approx(other.train_loss, rel=1e-2))
        assert mine.test_loss == (other.test_loss if exact else pytest.approx(other.test_loss, rel=1e-2))


def test_the_timed_step_of_tables_and_benchmark_is_the_same_step():
    images, labels = torch.randn(4, 3, 32, 32), torch.randint(10, (4,))

    def timed(network, graphs=None):
        return TrainingStep(network, images, labels, device=Device(precision="bfloat16", graphs=graphs))

    plain, graphed = _network(), _network()
    graphs = TapeGraphs(
        lambda: [
            *graphed.state_dict().values(),
            *(one["momentum_buffer"] for one in replayed.optimizer.state.values()),
        ]
    )
    step, replayed = timed(plain), timed(graphed, lambda: graphs)
    replayed.warm_up()
    replayed()
    replayed()
    for _ in range(WARM_UP_STEPS + 3):
        step()
    assert graphs.replays == 3
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), graphed.parameters(), strict=True))
