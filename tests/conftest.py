"""Settings of the whole suite."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from warm_python import warm_python

# Read when torch and matplotlib are first imported, also by the processes that tests start.
os.environ["MPLBACKEND"] = "Agg"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every machine and in every run; a slow machine is no failure.
settings.register_profile(
    "gc2l",
    max_examples=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gc2l")

# nohup has it ignored, and so would the programs have it to which tests send it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

PRELOADED = [
    "gc2l.campaign.worker",
    "gc2l.campaign.arguments",
    "gc2l.scaling",
    "pytest",
    "torch.distributed.launcher.api",
    "wandb",
    "wandb.sdk.launch.inputs.internal",  # which a run imports when it starts, in 2 s
    "sklearn.datasets",
]
"""What a process has imported from which tests fork others, by "forkserver" and `python`; it takes 8 s of a core."""

multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package starts as new interpreters, forked in place of it."""
    forkserver = multiprocessing.get_context("forkserver")
    monkeypatch.setattr(multiprocessing, "get_context", lambda method=None: forkserver)


@pytest.fixture(scope="session")
def python() -> Iterator[Path]:
    """In place of `sys.executable` where a test runs a whole program: an interpreter that has imported PyTorch."""
    with warm_python() as program:
        yield program
