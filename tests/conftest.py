"""Settings of the whole suite."""

import contextlib
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

PRELOADED_BY_WORKERS = [
    "hypothesis.strategies",
    "matplotlib.figure",
    "pandas",
    "scipy.stats",
    "timm",
    "torchvision.models",
    "torchvision.transforms.v2",
]
"""What the tests themselves import besides, in 5 s of a core."""

TORCH_ALONE = ["torch", "torch._dynamo"]

PROGRAMS = {"GC2L_WARM_PYTHON": [*PRELOADED, *PRELOADED_BY_WORKERS], "GC2L_WARM_TORCH": TORCH_ALONE}
"""The variables that name the programs of `warm_python` to the workers of pytest-xdist, which share them."""

if "GC2L_WARM_PYTHON" in os.environ:
    multiprocessing.set_executable(os.environ["GC2L_WARM_PYTHON"])
else:
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list) -> None:
    """Fork the workers, too."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    stack = contextlib.ExitStack()
    config.add_cleanup(stack.close)
    for name, modules in PROGRAMS.items():
        os.environ[name] = str(stack.enter_context(warm_python(modules)))
    for spec in specs:
        spec.python = os.environ["GC2L_WARM_PYTHON"]


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package starts as new interpreters, forked in place of it."""
    forkserver = multiprocessing.get_context("forkserver")
    monkeypatch.setattr(multiprocessing, "get_context", lambda method=None: forkserver)


@pytest.fixture(scope="session")
def python() -> Iterator[Path]:
    """In place of `sys.executable` where a test runs a whole program: an interpreter that has imported PyTorch."""
    with _program("GC2L_WARM_PYTHON", PRELOADED) as program:
        yield program


@pytest.fixture(scope="session")
def torch_python() -> Iterator[Path]:
    """The same for tests of what is imported: an interpreter that has imported PyTorch and nothing else."""
    with _program("GC2L_WARM_TORCH", TORCH_ALONE) as program:
        yield program


def _program(name: str, modules: list[str]) -> contextlib.AbstractContextManager[Path]:
    shared = os.environ.get(name)
    return contextlib.nullcontext(Path(shared)) if shared else warm_python(modules)
