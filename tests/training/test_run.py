import hashlib
import math
import operator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from small_run import cell, execution, stop_in_epoch

from gc2l.data import make_data_module
from gc2l.models import build_model
from gc2l.records import describe_environment
from gc2l.training import ImageClassifier, classifier, progress, train
from gc2l.training.run import weights_path
from gc2l.variants import VARIANTS


def _losses(record):
    return [(point.train_loss, point.test_loss, point.test_error_percent) for point in record.curve]


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_epochs_of_digits_learn(variant, tmp_path):
    record = train(cell(epochs=2, variant=variant, groups=1 if variant == "sc" else 4), execution(tmp_path))
    assert record.status == "finished"
    assert [point.epoch for point in record.curve] == [1, 2]
    assert record.curve[1].train_loss < record.curve[0].train_loss < 1.2 * math.log(10)
    assert record.curve[1].test_error_percent < 60  # guessing errs on 90 %
    assert record.curve[-1].test_error_percent == pytest.approx(record.test.error_percent)
    assert record.images_per_second > 0
    assert record.peak_memory_bytes > 50e6


def test_the_learning_rate_is_that_of_the_last_step_of_its_epoch(tmp_path):
    steps = cell(epochs=3, schedule="step", milestones=(1, 2), learning_rate=0.1, gamma=0.5)
    rates = [point.learning_rate for point in train(steps, execution(tmp_path)).curve]
    assert rates == pytest.approx([0.1, 0.05, 0.025], rel=1e-12)
    cycle = cell(epochs=2, schedule="one_cycle", learning_rate=0.1)
    record = train(cycle, execution(tmp_path))
    # Cosine down to a 10,000th of the start, a 25th of the peak, at the last of 2 x ceil(1437 / 64) steps.
    assert record.curve[-1].learning_rate == pytest.approx(0.1 / 25 / 1e4, rel=1e-6)


def test_a_job_of_slurm_trains_alike_whatever_its_tasks(tmp_path, monkeypatch):
    plain = train(cell(epochs=1), execution(tmp_path / "plain"))
    for name, value in {"JOB_ID": "7", "JOB_NAME": "gc2l", "NTASKS": "4", "PROCID": "3", "LOCALID": "3"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert _losses(train(cell(epochs=1), execution(tmp_path / "job"))) == _losses(plain)


def test_a_record_follows_from_the_batches_and_the_final_weights(tmp_path, monkeypatch):
    """By a loop over the losses of the batches, and a clock that each of them puts forward by a second."""
    plain, clock = ImageClassifier._loss_and_errors, [0.0]
    batches = []

    def loss_and_errors(self, images, labels):
        clock[0] += 1
        loss, errors = plain(self, images, labels)
        batches.append((self.current_epoch, self.training, len(labels), loss.item(), errors.item()))
        return loss, errors

    monkeypatch.setattr(ImageClassifier, "_loss_and_errors", loss_and_errors)
    monkeypatch.setattr(classifier, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    run, how = cell(epochs=2), execution(tmp_path)
    record = train(run, how)
    for epoch, point in enumerate(record.curve):
        for training, total, found in (
            (True, 1437, (point.train_loss, point.train_error_percent)),
            (False, 360, (point.test_loss, point.test_error_percent)),
        ):
            rows, losses, errors = zip(*(one[2:] for one in batches if one[:2] == (epoch, training)), strict=True)
            assert sum(rows) == total
            loss = sum(map(operator.mul, rows, losses)) / total
            assert found == pytest.approx((loss, 100 * sum(errors) / total), rel=1e-5)  # float32 sums of 23 losses
    # 23 batches of at most 64 images to train, 6 to test.
    assert [point.seconds for point in record.curve] == [23, 23]
    assert record.wall_seconds == 2 * (23 + 6)
    assert record.images_per_second == pytest.approx(1437 / 23)
    network = build_model(run.model, num_classes=10)
    assert record.weights_sha256 == hashlib.sha256(weights_path(run, how).read_bytes()).hexdigest()
    network.load_state_dict(load_file(weights_path(run, how)))
    network.eval()
    data = make_data_module(run.data, batch_size=64, seed=run.seed)
    data.prepare_data()
    data.setup("fit")
    errors = 0
    with torch.no_grad():
        for batch in data.val_dataloader():
            images, labels = data.on_after_batch_transfer(batch, 0)
            errors += int((network(images).argmax(1) != labels).sum())
    assert errors == record.test.errors


def test_the_same_seed_gives_the_same_curve_and_another_does_not(tmp_path):
    run = cell(epochs=1)
    first = train(run, execution(tmp_path / "first"))
    again = train(run, execution(tmp_path / "again"))
    other = train(replace(run, seed=2), execution(tmp_path / "other"))
    assert _losses(first) == _losses(again)
    assert _losses(first) != _losses(other)


def test_progress_is_reported_step_by_step(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.0)
    reports = []
    train(cell(epochs=2), execution(tmp_path), on_progress=reports.append)
    steps = 2 * 23
    assert [one.share for one in reports] == pytest.approx([step / steps for step in range(1, steps + 1)])
    assert [(one.epoch, one.epochs) for one in reports] == [(1, 2)] * 23 + [(2, 2)] * 23
    assert all(one.images_per_second > 0 for one in reports)


@pytest.mark.parametrize("schedule", ["one_cycle", "step"])
def test_a_stopped_run_continues_to_the_same_curve(schedule, tmp_path, monkeypatch):
    run = cell(schedule=schedule, milestones=(1, 2))
    whole = train(run, execution(tmp_path / "whole"))
    stop_in_epoch(2, run, execution(tmp_path / "stopped"))
    epochs, start = [], ImageClassifier.on_train_epoch_start
    monkeypatch.setattr(
        ImageClassifier, "on_train_epoch_start", lambda self: (epochs.append(self.current_epoch), start(self))
    )
    resumed = train(run, execution(tmp_path / "stopped"))
    assert epochs == [2]
    assert _losses(resumed) == _losses(whole)
    assert [point.learning_rate for point in resumed.curve] == [point.learning_rate for point in whole.curve]
    assert resumed.wall_seconds > sum(point.seconds for point in resumed.curve)
    assert train(run, execution(tmp_path / "stopped")).curve == resumed.curve
    assert epochs == [2], "an outcome that was not kept is there again without training"


def test_a_run_does_not_go_on_in_another_precision(tmp_path):
    run, how = cell(), execution(tmp_path)
    stop_in_epoch(2, run, how)
    folder = tmp_path / "checkpoints" / run.identity
    kept = sorted(folder.iterdir())
    with pytest.raises(
        ValueError, match=r"made on cpu in float32, .* on cpu in bfloat16: .*--execution.precision float32"
    ):
        train(run, replace(how, precision="bfloat16"))
    assert sorted(folder.iterdir()) == kept
    assert _losses(train(run, how)) == _losses(train(run, execution(tmp_path / "whole")))


def test_a_run_goes_on_with_the_threads_that_it_began_with(tmp_path, monkeypatch):
    run, how = cell(epochs=2), execution(tmp_path, threads=1)
    stop_in_epoch(1, run, how)
    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    with pytest.warns(UserWarning, match=f"{run.identity}: the run continues with .* 1 in place of 2"):
        resumed = train(run, replace(how, threads=2))
    assert resumed.execution.threads == 1
    assert 1 in used and 2 not in used


@pytest.mark.parametrize("dirty", [False, True])
def test_a_record_says_whether_the_code_differed_from_its_commit(dirty, tmp_path, monkeypatch):
    here = replace(describe_environment(), commit="a", dirty=dirty)
    monkeypatch.setattr("gc2l.training.run.describe_environment", lambda **_: here)
    record = train(cell(epochs=1, learning_rate=1e30, weight_decay=1.0), execution(tmp_path))  # diverges at once
    assert (record.commit, record.dirty) == ("a", dirty)


def test_a_record_says_whether_the_code_of_an_earlier_session_differed_from_its_commit(tmp_path, monkeypatch):
    run, how = cell(epochs=2), execution(tmp_path)
    here = replace(describe_environment(), commit="a", dirty=True)
    monkeypatch.setattr("gc2l.training.run.describe_environment", lambda **_: here)
    stop_in_epoch(1, run, how)
    (checkpoint,) = (tmp_path / "checkpoints" / run.identity).glob("*.ckpt")
    made = {"device": "cpu", "precision": "float32", "threads": 1, "data_ranks": 1, "commit": "a", "dirty": True}
    found = torch.load(checkpoint, weights_only=True)["made"]
    images = found.pop("images")
    assert found == made
    here = replace(here, dirty=False)
    record = train(run, how)
    assert record.data_fingerprint == images
    assert (record.commit, record.dirty) == ("a", True)


def test_an_unreadable_checkpoint_is_named_kept_and_passed_over(tmp_path, monkeypatch):
    run, how = cell(), execution(tmp_path)
    whole = train(run, execution(tmp_path / "whole"))
    stop_in_epoch(2, run, how)
    newest = max((tmp_path / "checkpoints" / run.identity).glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=newest.name):
        resumed = train(run, how)
    assert _losses(resumed) == _losses(whole)


@pytest.mark.parametrize("bad_step", [0, 4, 22])  # 22 is the last of the first epoch's 23 steps
def test_a_loss_that_is_not_finite_stops_the_run_within_one_step(bad_step, tmp_path, monkeypatch):
    steps = []
    plain = ImageClassifier._loss_and_errors

    def loss_and_errors(self, images, labels):
        loss, errors = plain(self, images, labels)
        if self.training:
            steps.append(len(steps))
            if steps[-1] == bad_step:
                loss = loss * math.nan
        return loss, errors

    monkeypatch.setattr(ImageClassifier, "_loss_and_errors", loss_and_errors)
    record = train(cell(epochs=2), execution(tmp_path))
    assert record.status == "diverged"
    assert "training loss became nan in epoch 1" in record.message
    assert steps[-1] == bad_step
    assert record.curve == ()
    assert record.test is None


def test_a_learning_rate_that_is_too_high_diverges_by_itself(tmp_path):
    record = train(cell(epochs=1, learning_rate=1e30, weight_decay=1.0), execution(tmp_path))
    assert record.status == "diverged"


def test_groups_that_do_not_divide_are_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"in_channels=16 is not divisible by groups=3"):
        train(cell(variant="gc", groups=3), execution(tmp_path))


def test_compiled_and_bfloat16_runs_agree_with_the_plain_one(tmp_path):
    run = cell(epochs=1)
    plain = train(run, execution(tmp_path / "plain"))
    low = train(run, execution(tmp_path / "low", precision="bfloat16"))
    assert low.execution.precision == "bfloat16"
    assert low.curve[0].train_loss == pytest.approx(plain.curve[0].train_loss, rel=0.05)
    assert low.curve[0].train_loss != plain.curve[0].train_loss
