import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
AGENT = [sys.executable, str(EXPERIMENTS / "sweep.py"), "sweep.yaml"]
SLUGS = [f"digits-wide_resnet_cifar-10x2-{name}-seed{seed}" for seed in (1, 2) for name in ("sc-n1", "gc-n2")]


@pytest.fixture
def sweep(folder, monkeypatch, capsys):
    """Call the script's main function; returns its status and what it printed."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    main = importlib.import_module("sweep").main

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [*AGENT[1:], *arguments])
        return main(), *capsys.readouterr()

    return run


@pytest.fixture
def start(folder):
    """Start an agent as a process; what still runs at the end of the test is killed."""
    agents = []

    def start_agent() -> subprocess.Popen:
        agents.append(subprocess.Popen(AGENT, stderr=subprocess.PIPE, text=True))
        return agents[-1]

    yield start_agent
    for agent in agents:
        agent.kill()
        agent.wait()
        agent.stderr.close()


def trained() -> list[str]:
    log = Path("trained")
    return log.read_text().splitlines() if log.exists() else []


def first_run_of(agent: subprocess.Popen) -> int:
    """The process that trains the agent's first cell, once it does."""
    while not trained():
        assert agent.poll() is None, agent.stderr.read()
        time.sleep(0.05)
    (child,) = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    return int(child)


def test_dry_run_prints_the_commands_and_runs_none(sweep, folder):
    status, out, _ = sweep("--dry-run", "--count", "3")
    assert status == 0
    assert out.splitlines() == [
        f"/usr/bin/env {sys.executable} program.py --convolution={convolution} --seed={seed}"
        for convolution, seed in (("sc-n1", 1), ("gc-n2", 1), ("sc-n1", 2))
    ]
    assert trained() == []
    assert not (folder / "results").exists()


def test_each_cell_is_run_once_and_then_none_is_missing(sweep):
    assert sweep("--list-missing")[1].splitlines() == SLUGS
    assert sweep("--count", "1")[0] == 0
    assert trained() == SLUGS[:1]
    assert sweep("--list-missing")[1].splitlines() == SLUGS[1:]
    status, _, told = sweep()
    assert status == 0
    assert "3 cells run, 0 of them failed" in told
    assert trained() == SLUGS
    assert sweep("--list-missing")[1] == ""
    assert "0 cells run" in sweep()[2]
    assert trained() == SLUGS


def test_a_failed_cell_shows_in_the_exit_status(sweep, folder):
    (folder / "fail").touch()
    status, _, told = sweep("--count", "2")
    assert status == 1
    assert "2 cells run, 2 of them failed" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--count", "0"], "count=0 must be at least 1"), (["--dry-run", "--list-missing"], "exclude each other")],
)
def test_wrong_arguments_are_told(sweep, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        sweep(*arguments)
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_two_agents_at_once_run_each_cell_once(start):
    agents = [start(), start()]
    told = [agent.communicate(timeout=300)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0]
    assert sorted(trained()) == sorted(SLUGS)
    assert all("0 of them failed" in text for text in told)


def test_the_cell_of_a_killed_agent_is_free_once_its_run_has_ended(sweep, start, folder):
    (folder / "hang").touch()
    agent = start()
    orphan = first_run_of(agent)
    agent.kill()
    agent.wait()
    (folder / "hang").unlink()
    listed = sweep("--list-missing")[1].splitlines()
    assert listed[0].startswith(f"{SLUGS[0]} (being trained by process {orphan} on ")
    assert listed[1:] == SLUGS[1:]
    assert f"{SLUGS[0]} is left to another agent" in sweep()[2]
    assert trained() == SLUGS
    os.kill(orphan, signal.SIGKILL)
    while Path(f"/proc/{orphan}/fd").exists() and sweep("--list-missing")[1].count("trained by"):
        time.sleep(0.05)
    assert sweep()[0] == 0
    assert trained() == [*SLUGS, SLUGS[0]]
    assert sweep("--list-missing")[1] == ""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_stopped_agent_stops_its_run(start, folder, signum):
    (folder / "hang").touch()
    agent = start()
    child = first_run_of(agent)
    agent.send_signal(signum)
    _, told = agent.communicate(timeout=300)
    assert agent.returncode == 128 + signum
    assert "the same command continues" in told
    assert not Path(f"/proc/{child}").exists()


def test_looking_needs_no_torch(folder):
    command = [sys.executable, "-X", "importtime", *AGENT[1:], "--list-missing"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == SLUGS
    modules = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "gc2l.campaign.agent" in modules
    assert not modules & {"torch", "torchvision", "pytorch_lightning"}
