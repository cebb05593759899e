"""The real `wandb sweep` and `wandb agent` on sweeps/table1.yaml, without a network."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from wandb_files import read_offline_run
from wandb_stand_in import wandb_server

from gc2l.campaign.arguments import read_cell
from gc2l.campaign.sweep import read_sweep
from gc2l.records import RunStore

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "experiments" / "presets"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A working folder as a checkout is, whose results are the test's."""
    for name in ("experiments", "sweeps"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("NETRC", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # The agent looks for "python" there, as in an activated environment.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def wandb(*arguments: str, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "wandb", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1500,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_an_agent_trains_a_cell_and_tells_one_that_has_a_record(checkout, monkeypatch):
    sweep = read_sweep(Path("sweeps/table1.yaml"))
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
        created = wandb("sweep", "sweeps/table1.yaml", WANDB_BASE_URL=server.url)
        assert yaml.safe_load(server.config)["command"] == list(sweep.command)
        (agent,) = re.findall(r"wandb agent (\S+/gc2l/sweep001)", created)
        # The stand-in takes no runs, so those are logged offline.
        told = wandb("agent", "--count", "2", agent, WANDB_BASE_URL=server.url, WANDB_MODE="offline")

    assert server.handed_out == 2, told
    assert store.find(recorded) == samples.record(recorded)
    record = store.find(trained)
    assert record is not None, told
    assert (record.status, record.preset, record.configuration) == ("finished", "digits", trained.configuration())
    assert len(RunStore(Path("results/runs")).all()) == 2

    for run, expected in (("run0001", samples.record(recorded)), ("run0002", record)):
        (path,) = checkout.glob(f".scratch/wandb/wandb/offline-run-*-{run}/*.wandb")
        messages = read_offline_run(path)
        assert messages["exit"][0].exit_code == 0
        assert summary(messages, "test_error_percent") == pytest.approx(expected.curve[-1].test_error_percent)
        assert summary(messages, "status") == "finished"
        assert len(messages["history"]) == len(expected.curve)
        steps = [value(entry.item, "trainer/global_step") for entry in messages["history"]]
        assert steps == [23 * epoch.epoch - 1 for epoch in expected.curve]  # 1437 images, 64 a step


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
