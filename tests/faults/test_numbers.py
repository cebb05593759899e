"""Numbers and sizes at the edge: a run stops within one step on all ranks and says so, or is refused clearly."""

import math
import socket
import warnings
from pathlib import Path

from faults.runs import end, run_on_rank, start
from small_run import cell, execution

from gc2l.records import RunStore
from gc2l.training import ImageClassifier, train


def test_the_loss_becomes_nan_or_infinite(trials, tmp_path, monkeypatch):
    plain = ImageClassifier._loss_and_errors
    bad, factor, steps = 0, math.nan, 0

    def loss_and_errors(self, images, labels):
        nonlocal steps
        loss, errors = plain(self, images, labels)
        if self.training:
            steps += 1
            loss = loss * factor if steps == bad else loss
        return loss, errors

    monkeypatch.setattr(ImageClassifier, "_loss_and_errors", loss_and_errors)

    def trial(rng):
        nonlocal bad, factor, steps
        bad, factor, steps = rng.randrange(1, 24), rng.choice([math.nan, math.inf, -math.inf]), 0
        outcome = train(cell(epochs=1), execution(tmp_path / str(rng.random())))
        assert (outcome.status, steps) == ("diverged", bad)

    trials.run("loss NaN or infinite at any step: stops before the next, diverged", trial, short=2, long=100)


def test_exploding_rates_and_odd_batches(trials, tmp_path):
    def trial(rng):
        rate = 10 ** rng.uniform(-3, 38)
        size = rng.choice([1, 64, 718, 1436, 1437, 5000] if trials.long else [1436, 5000])
        run = cell(epochs=1, learning_rate=rate, batch_size=size, weight_decay=rng.choice([0.0, 1.0]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's about so large a batch
            outcome = train(run, execution(tmp_path / str(rng.random())))
        if outcome.status == "finished":
            assert math.isfinite(outcome.curve[-1].train_loss) and math.isfinite(outcome.curve[-1].test_loss)
        else:
            assert "became" in outcome.message

    trials.run("any rate, batches of one and beyond the set: finite, or diverged", trial, short=2, long=100)


def _diverge(rank: int, port: int, folder: Path) -> None:
    run_on_rank(rank, 2, port, cell(epochs=1, learning_rate=1e30, weight_decay=1.0), folder)


def test_two_ranks_diverge_together(trials, tmp_path):
    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        assert [end(rank) for rank in [start(_diverge, rank, port, folder) for rank in range(2)]] == [0, 0]
        (record,) = RunStore(folder / "runs").all()
        assert record.status == "diverged"

    trials.run("two ranks, exploding rate: both stop, diverged", trial, short=1, long=20)
