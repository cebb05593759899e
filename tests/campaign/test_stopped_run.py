"""A run of a sweep's agent that is stopped, as a cluster or the server stops it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from wandb_files import read_offline_run

ROOT = Path(__file__).parents[2]
EPOCHS = 12


def test_sigterm_ends_a_run_in_order_and_the_same_command_continues(tmp_path):
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "offline",
        "WANDB_SWEEP_ID": "sweep001",
        "WANDB_RUN_ID": "run0001",
        # Lightning has signal handlers of its own under SLURM.
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "gc2l",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    command = [
        sys.executable,
        str(ROOT / "experiments" / "train.py"),
        "--convolution=gc-n16",
        f"--training.epochs={EPOCHS}",
        f"--runs={tmp_path / 'runs'}",
        f"--execution.scratch={tmp_path / 'scratch'}",
    ]
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        while not list(tmp_path.glob("scratch/checkpoints/*/0002.ckpt")):
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        running.send_signal(signal.SIGTERM)  # schedulers repeat themselves
        _, errors = running.communicate(timeout=1500)
    finally:
        running.kill()
    assert running.returncode == 130, errors
    assert "the same command continues where it was" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("runs/*/*.json"))
    kept = max(int(path.stem) for path in tmp_path.glob("scratch/checkpoints/*/*.ckpt"))
    assert 2 <= kept < EPOCHS
    # Both together make the server queue the run again.
    (offline,) = tmp_path.glob("scratch/wandb/wandb/offline-run-*/run-run0001.wandb")
    messages = read_offline_run(offline)
    assert messages["exit"][0].exit_code == 1
    assert len(messages["preempting"]) == 1

    subprocess.run([*command, "--execution.wandb=disabled"], env=environment, check=True, timeout=1500)
    (record,) = tmp_path.glob("runs/*/*.json")
    assert [point["epoch"] for point in json.loads(record.read_text())["curve"]] == list(range(1, EPOCHS + 1))
    *_, resumed = sorted(tmp_path.glob("scratch/csv/*/*/metrics.csv"))
    assert len(resumed.read_text().splitlines()) == 1 + EPOCHS - kept
