"""The Triton kernels, as far as they can be tested without a card: interpreted, and compiled for one."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.version import Version

HERE = Path(__file__).parent


def run(python: Path | str, file: str, **environment: str) -> None:
    """The tests of another file in a process of their own."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(HERE / file)]
    done = subprocess.run(
        command, env=os.environ | environment, cwd=HERE.parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout, done.stdout[-2000:]


def installed(package: str) -> Version | None:
    try:
        return Version(version(package))
    except PackageNotFoundError:
        return None


TRITON = installed("triton")
needs_triton = pytest.mark.skipif(
    TRITON is None, reason="Triton is not installed (there are no wheels for this machine)"
)
numpy_is_new = (installed("numpy") or Version("0")) >= Version("2.4")


@needs_triton
@pytest.mark.skipif(
    TRITON is not None and Version("3.7") > TRITON and numpy_is_new,
    reason="the interpreter of Triton before 3.7 does not work with NumPy 2.4 (findings/triton_interpreter_numpy.sh)",
)
def test_in_the_interpreter():
    # Triton reads the variable when it is imported.
    run(sys.executable, "interpreted.py", TRITON_INTERPRET="1", OMP_NUM_THREADS="1")


@needs_triton
def test_compiled_for_a_card(python, tmp_path):
    run(python, "compiled_for_a_card.py", TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))
