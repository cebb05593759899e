"""torchvision imports through its one gate, without a warning, whether or not its extension loads."""

import importlib.util
import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from gc2l.models import torchvision_operators

GATE = "import gc2l.models.torchvision_import, torchvision.datasets, torchvision.transforms.v2"

REFUSE = """
import torch
def refuse(path):
    raise OSError(f"{path}: undefined symbol")
torch.ops.load_library = refuse
"""


DIRECT = "import gc2l.models, torchvision.models"  # as a user does


@pytest.mark.parametrize(
    ("before", "imports"),
    [("", f"{GATE}, pytorch_lightning"), (REFUSE, GATE), (REFUSE, DIRECT)],
    ids=["as installed", "extension does not load, through the gate", "extension does not load, directly"],
)
def test_torchvision_imports_without_a_warning(before: str, imports: str, torch_python: Path) -> None:
    command = [str(torch_python), "-c", f"import warnings\nwarnings.simplefilter('error')\n{before}\n{imports}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize("name", ["_C.so", "_C_stable.so", "zlib.abi3.so"])
def test_the_file_with_the_operators_is_found_whatever_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    for file in (name, "image.so", "extension.py"):
        (tmp_path / file).touch()
    loaded, defined = load_from(tmp_path, name, monkeypatch)
    assert loaded[-1] == name and "extension.py" not in loaded
    assert defined == []


def test_the_operators_are_declared_where_no_file_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for file in ("_C.so", "image.so"):
        (tmp_path / file).touch()
    loaded, defined = load_from(tmp_path, None, monkeypatch)
    assert loaded == ["_C.so", "image.so"]
    assert defined == ["torchvision::nms", "torchvision::qnms"]


def load_from(folder: Path, extension: str | None, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """The files of a torchvision in `folder` that are loaded, and what is declared, where only `extension` loads."""
    loaded: list[str] = []
    defined: list[str] = []

    def load(path: str) -> None:
        loaded.append(Path(path).name)
        if Path(path).name != extension:
            raise OSError(f"Could not load this library: {path}")

    package = ModuleSpec("torchvision", loader=None, is_package=True)
    package.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: package)
    monkeypatch.setattr(torch.ops, "load_library", load)
    monkeypatch.setattr(torch.library, "define", lambda name, schema: defined.append(name))
    monkeypatch.setattr(torchvision_operators, "EXTENSION_SUFFIXES", [".abi3.so", ".so"])
    monkeypatch.setattr(torchvision_operators, "_is_declared", lambda operator: extension in loaded)
    torchvision_operators.declare_missing_operators()
    return loaded, defined
