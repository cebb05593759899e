"""The real `wandb sweep` and `wandb agent` on sweeps/table1-digits.yaml, without a network."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from wandb_files import read_offline_run
from wandb_stand_in import wandb_server

from gc2l.campaign.arguments import read_cell
from gc2l.campaign.sweep import read_sweep
from gc2l.cells import Cell
from gc2l.records import RunStore

ROOT = Path(__file__).parents[2]
# The client's command, whose agent would look for the end of a run only every 5 seconds.
WANDB = """
from wandb.cli.cli import cli
from wandb.wandb_agent import Agent

Agent.POLL_INTERVAL = 0.2
cli(prog_name="wandb")
"""
PRESETS = ROOT / "experiments" / "presets"


@pytest.fixture
def checkout(python, tmp_path, monkeypatch):
    """A working folder as a checkout is, whose results are the test's."""
    for name in ("experiments", "sweeps"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "wandb_client.py").write_text(WANDB)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("NETRC", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "slow").touch()
    monkeypatch.setenv("SLOW_WHILE", str(tmp_path / "slow"))
    # The agent looks for "python" there, as in an activated environment.
    monkeypatch.setenv("PATH", f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def wandb(*arguments: str, **environment: str) -> str:
    ended = subprocess.run(
        ["python", "wandb_client.py", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1500,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_an_agent_trains_a_cell_though_it_is_preempted_and_tells_one_that_has_a_record(checkout, monkeypatch):
    sweep = read_sweep(Path("sweeps/table1-digits.yaml"))
    # The fastest convolution is trained; the other has a record that no training could have made.
    points = {point["convolution"]: point for point in sweep.points() if point["seed"] == 2}
    (trained, store), (recorded, _) = (
        read_cell(sweep.arguments(points[name]), PRESETS) for name in ("gc-n16", "gc2l-n4")
    )
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "records"))
    samples = importlib.import_module("samples")
    monkeypatch.delitem(sys.modules, "samples")
    store.save(recorded, samples.record(recorded))

    with wandb_server() as server:
        server.points = [points["gc2l-n4"], points["gc-n16"]]
        server.stored = lambda run: stored_configuration(checkout, run)
        created = wandb("sweep", "sweeps/table1-digits.yaml", WANDB_BASE_URL=server.url)
        assert yaml.safe_load(server.config)["command"] == list(sweep.command)
        (agent,) = re.findall(r"wandb agent (\S+/gc2l/sweep001)", created)
        scheduler = threading.Thread(target=preempt, args=(store, trained), daemon=True)
        scheduler.start()
        # The stand-in takes no runs, so those are logged offline.
        told = wandb("agent", agent, WANDB_BASE_URL=server.url, WANDB_MODE="offline")

    assert (server.handed_out, server.resumed) == (2, ["run0002"]), told
    assert store.find(recorded) == samples.record(recorded)
    record = store.find(trained)
    assert record is not None, told
    assert (record.status, record.preset, record.configuration) == ("finished", "digits", trained.configuration())
    assert len(RunStore(Path("results/runs")).all()) == 2

    (told_only,), (first, second) = (offline_runs(checkout, run) for run in ("run0001", "run0002"))
    assert (first["exit"][0].exit_code, len(first["preempting"]), summary(first, "status")) == (1, 1, "stopped")
    before = len(first["history"])
    assert 0 < before < len(record.curve)
    for messages, expected, curve in (
        (told_only, samples.record(recorded), samples.record(recorded).curve),
        (second, record, record.curve[before:]),
    ):
        assert messages["exit"][0].exit_code == 0
        assert "preempting" not in messages
        assert summary(messages, "test_error_percent") == pytest.approx(expected.curve[-1].test_error_percent)
        assert summary(messages, "status") == "finished"
        assert len(messages["history"]) == len(curve)
        steps = [value(entry.item, "trainer/global_step") for entry in messages["history"]]
        assert steps == [23 * epoch.epoch - 1 for epoch in curve]  # 1437 images, 64 a step


def preempt(store: RunStore, cell: Cell) -> None:
    """Stop the process that trains `cell` after its first epoch, as a scheduler does."""
    while not list(Path(".scratch/checkpoints").glob(f"{cell.identity}/*.ckpt")):
        time.sleep(0.02)
    process, _, _ = store.trainer(cell).removeprefix("process ").partition(" on ")
    os.kill(int(process), signal.SIGTERM)
    Path("slow").unlink()


def offline_runs(folder: Path, run: str) -> list[dict]:
    """The messages of the run's sessions, in their order."""
    return [read_offline_run(path) for path in sorted(folder.glob(f".scratch/wandb/wandb/offline-run-*-{run}/*.wandb"))]


def stored_configuration(folder: Path, run: str) -> dict | None:
    """What the server would have of a preempted run: all that it told of its configuration; None of another run."""
    (messages, *_) = offline_runs(folder, run) or [{}]
    if "preempting" not in messages:
        return None
    updates = [update for told in (messages["run"][0].config, *messages.get("config", [])) for update in told.update]
    stored = {update.key: json.loads(update.value_json) for update in updates}
    assert {"convolution", "model", "data", "training"} <= stored.keys()
    return stored | {"_wandb": {"cli_version": "0.31.0", "m": [], "t": {"1": [1, 5, 53], "13": "linux-x86_64"}}}


def summary(messages: dict, name: str) -> object:
    """The last value that the run gave to `name`."""
    values = [value(entry.update, name) for entry in messages.get("summary", [])]
    values += [value(entry.item, name) for entry in messages["history"]]
    return next(found for found in values if found is not None) if name == "status" else values[-1]


def value(items: list, name: str) -> object:
    for item in items:
        if name in (item.key, "/".join(item.nested_key)):
            return yaml.safe_load(item.value_json)
    return None
