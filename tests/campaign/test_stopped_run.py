"""A run of a sweep's agent that is stopped, as a cluster or the server stops it."""

import json
import os
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from wandb_files import read_offline_run

ROOT = Path(__file__).parents[2]
EPOCHS = 24


@pytest.fixture
def started(python, tmp_path):
    """Start the run, or continue it; it has its first epoch, or one more, before this returns."""
    (tmp_path / "slow").touch()
    environment = os.environ | {
        "SLOW_WHILE": str(tmp_path / "slow"),
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "offline",
        "WANDB_SWEEP_ID": "sweep001",
        "WANDB_RUN_ID": "run0001",
        # Under SLURM, Lightning would have signal handlers of its own.
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "gc2l",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    running: list[subprocess.Popen] = []

    def start(*, until_epoch: int) -> subprocess.Popen:
        command = [
            *(str(python), str(ROOT / "experiments" / "train.py")),
            *("--convolution=gc-n16", "--model.width=1", f"--training.epochs={EPOCHS}", "--execution.device=cpu"),
            *(f"--runs={tmp_path / 'runs'}", f"--execution.scratch={tmp_path / 'scratch'}"),
        ]
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        while newest_epoch(tmp_path) < until_epoch and running[-1].poll() is None:
            time.sleep(0.02)
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stderr.close()


def newest_epoch(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("scratch/checkpoints/*/*.ckpt")), default=0)


def test_a_preempted_run_ends_in_order_and_the_same_command_continues(started, tmp_path):
    stops = {signal.SIGUSR1: 128 + signal.SIGUSR1, signal.SIGHUP: 129, signal.SIGTERM: 143}
    kept = [0]
    for signum, status in stops.items():
        process = started(until_epoch=kept[-1] + 1)
        process.send_signal(signum)
        process.send_signal(signal.SIGTERM)  # schedulers repeat themselves, and lose patience
        _, errors = process.communicate(timeout=1500)
        assert process.returncode == status, errors
        assert "the same command continues where it was" in errors
        assert "Traceback" not in errors
        assert not list(tmp_path.glob("runs/*/*.json"))
        kept.append(newest_epoch(tmp_path))
    assert 0 < kept[1] < kept[2] < kept[3] < EPOCHS

    (tmp_path / "slow").unlink()
    process = started(until_epoch=EPOCHS)
    _, errors = process.communicate(timeout=1500)
    assert process.returncode == 0, errors
    (record,) = tmp_path.glob("runs/*/*.json")
    assert [point["epoch"] for point in json.loads(record.read_text())["curve"]] == list(range(1, EPOCHS + 1))
    logged = [len(path.read_text().splitlines()) - 1 for path in sorted(tmp_path.glob("scratch/csv/*/*/metrics.csv"))]
    assert logged == [*(after - before for before, after in pairwise(kept)), EPOCHS - kept[-1]]

    sessions = sorted(tmp_path.glob("scratch/wandb/wandb/offline-run-*/run-run0001.wandb"))
    told = [read_offline_run(path) for path in sessions]
    # Marked as preempting and not ended with 0: together these make the server queue the run again.
    assert [(messages["exit"][0].exit_code, len(messages.get("preempting", []))) for messages in told] == [
        *[(1, 1)] * len(stops),
        (0, 0),
    ]
