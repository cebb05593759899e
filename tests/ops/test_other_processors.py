"""Where the processor is no x86-64, as on arm64, the C sources compile to libraries that say they cannot run there."""

import ctypes
import platform
import shutil
import subprocess
import tomllib
from pathlib import Path
from unittest import mock

import pytest
import torch

from gc2l.ops.cpu import loader

ROOT = Path(__file__).parents[2]
EXTENSIONS = {
    one["name"]: one
    for one in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
}
# A compiler that does not know that it compiles for x86-64, and, where there is one, a compiler for another processor.
COMPILERS = {"without the name x86-64": ["gcc", "-U__x86_64__"], "arm64": ["aarch64-linux-gnu-gcc"]}


@pytest.fixture(params=COMPILERS)
def compiler(request):
    command = COMPILERS[request.param]
    if platform.system() != "Linux" or shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    return command


@pytest.mark.parametrize("name", EXTENSIONS)
def test_the_libraries_compile_and_are_left_alone(name, compiler, tmp_path, monkeypatch):
    extension, library = EXTENSIONS[name], tmp_path / "library.so"
    sources = [str(ROOT / source) for source in extension["sources"]]
    flags = [*extension["extra-compile-args"], "-fPIC", "-shared", "-Wl,-z,defs"]
    subprocess.run([*compiler, *flags, *sources, "-o", library, *extension["extra-link-args"]], check=True)
    if compiler[0] != "gcc":
        return  # this machine cannot load it
    assert ctypes.CDLL(str(library)).gc2l_runs_here() == 0
    # The framework's word is not enough.
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(loader, "find_spec", lambda _: mock.Mock(origin=str(library)))
    assert loader.open_library(name) is None
