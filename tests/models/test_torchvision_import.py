"""torchvision imports through its one gate, without a warning, whether or not its extension loads."""

import subprocess
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


def test_an_extension_that_loads_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    assert torchvision_operators._extension_loads()
    assert len(loaded) == 1
