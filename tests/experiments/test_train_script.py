import json
import os
import runpy
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TINY = ["--model.depth", "10", "--model.width", "1", "--execution.wandb", "disabled", "--execution.threads", "1"]


def _command(folder: Path, *arguments: str) -> list[str]:
    scratch = ["--runs", str(folder / "runs"), "--execution.scratch", str(folder / "scratch")]
    return [str(ROOT / "experiments" / "train.py"), *TINY, *scratch, *arguments]


def _run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"COLUMNS": "200", "GC2L_DATA": str(folder / "data")}
    command = [str(python), *_command(folder, *arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_cell_leaves_a_record_and_is_not_trained_twice(python, tmp_path):
    arguments = ("--model.variant", "gc2l", "--model.groups=4", "--training.epochs", "1", "--seed", "3")
    first = _run(python, tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    (path,) = (tmp_path / "runs").glob("*/*.json")
    assert path.parent.name == "custom"  # one epoch is not what the preset has
    record = json.loads(path.read_text())
    assert record["seed"] == 3
    assert record["configuration"]["model"]["variant"] == "gc2l"
    assert f"test error {record['test']['error_percent']:.2f} %" in first.stdout
    again = _run(python, tmp_path, *arguments)
    assert again.stdout == first.stdout
    assert json.loads(path.read_text()) == record


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "nothing"), "preset='nothing' is unknown; choose one of 'digits', 'mini'"),
        (("--data.name", "cifar100"), "preset 'digits' has no network on cifar100"),
        (("--model.groups", "4"), "variant='sc' is the standard convolution"),
        (("--model.variant", "conv"), "variant='conv' is unknown"),
        (("--model.variant", "gc", "--model.groups", "3"), "in_channels=16 is not divisible by groups=3"),
        (("--training.epochs", "0"), "training.epochs=0 must be at least 1"),
    ],
)
def test_bad_input_is_told_without_a_traceback(arguments, message, tmp_path, monkeypatch, capsys):
    # In this process: a new one would take seconds to import what is not even used.
    monkeypatch.setattr("sys.argv", _command(tmp_path, *arguments))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("GC2L_DATA", str(tmp_path / "data"))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(_command(tmp_path)[0], run_name="__main__")
    assert ended.value.code == 2
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in told
    assert not list(tmp_path.glob("runs/**/*.json"))


def test_ctrl_c_stops_cleanly_and_the_same_command_continues(python, tmp_path):
    epochs = 16
    arguments = ("--training.epochs", str(epochs))
    (tmp_path / "slow").touch()
    running = subprocess.Popen(
        [str(python), *_command(tmp_path, *arguments)],
        env=os.environ | {"SLOW_WHILE": str(tmp_path / "slow")},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not any(int(path.stem) >= 2 for path in tmp_path.glob("scratch/checkpoints/*/*.ckpt")):
        assert time.monotonic() < deadline, "no checkpoint"
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "the same command continues where it was" in errors
    assert "Traceback" not in errors
    kept = max(int(path.stem) for path in tmp_path.glob("scratch/checkpoints/*/*.ckpt"))
    assert 2 <= kept < epochs
    ended = _run(python, tmp_path, *arguments)
    assert ended.returncode == 0, ended.stderr
    (path,) = (tmp_path / "runs").glob("*/*.json")
    assert [point["epoch"] for point in json.loads(path.read_text())["curve"]] == list(range(1, epochs + 1))
    logged = [len(path.read_text().splitlines()) - 1 for path in sorted(tmp_path.glob("scratch/csv/*/*/metrics.csv"))]
    assert len(logged) == 2
    assert logged[1] == epochs - kept
