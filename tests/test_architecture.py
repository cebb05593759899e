"""The plan of the house: which room may import which, read from the source without running it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "gc2l"
LONGEST_FILE = 300

# From the ground up. A room imports only rooms of lower floors, never a neighbour on its own.
FLOORS = [
    {"gc2l"},  # the package itself: its version
    {"names"},
    {"files", "variants"},
    {"paper"},
    {"cells"},
    {"records"},
    {"ops"},
    {"nn"},
    {"models"},
    {"data", "edge", "parallel"},
    {"training"},
    {"analysis"},
    {"bench"},
    {"evidence", "scaling"},
    {"campaign"},
    {"__main__"},
    {"experiments"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# A record is read, and a table made, without torch: these rooms reach neither it nor a room that imports it.
TORCH_FREE = {"gc2l", "names", "files", "variants", "paper", "cells", "records", "analysis"}
HEAVY_PACKAGES = {"torch", "torchvision", "pytorch_lightning"}


def imports(source: str) -> Iterator[str]:
    """Every module that a file imports, wherever the import stands; `from gc2l import nn` counts as gc2l.nn."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"gc2l.{alias.name}" for alias in node.names) if module == "gc2l" else (module,)


def room_of_module(module: str) -> str | None:
    """The room of the house that an imported module belongs to; None for modules of others."""
    package, _, rest = module.partition(".")
    if package != "gc2l":
        return "experiments" if package == "experiments" else None
    room = rest.partition(".")[0]
    return room if room in FLOOR_OF else "gc2l"


def violations(room: str, source: str) -> list[str]:
    """What a file of `room` imports against the plan."""
    found = []
    for module in imports(source):
        if module.startswith("."):
            found.append(f"{module} is a relative import")
        if room in TORCH_FREE and module.partition(".")[0] in HEAVY_PACKAGES:
            found.append(f"{module} does not belong in {room}")
        target = room_of_module(module)
        if target is None or target == room:
            continue
        if FLOOR_OF[target] >= FLOOR_OF[room]:
            found.append(f"{room} imports {target}, which is not below it")
        elif room in TORCH_FREE and target not in TORCH_FREE:
            found.append(f"{room} imports {target}, which imports torch")
    return found


def room_of_file(path: Path) -> str:
    if not path.is_relative_to(PACKAGE):
        return "experiments"
    first = path.relative_to(PACKAGE).parts[0]
    return "gc2l" if first == "__init__.py" else first.removesuffix(".py")


FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path):
    room = room_of_file(path)
    assert room in FLOOR_OF, f"{room} has no floor yet: give it one in FLOORS"
    assert violations(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_holds_two_subjects(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("nn", "from gc2l.data import make_data_module"),
        ("nn", "from gc2l import data"),
        ("nn", "import gc2l.models.build"),
        ("models", "def build():\n    from gc2l.training import train"),
        ("data", "import gc2l.parallel"),
        ("analysis", "from gc2l.campaign.run import run_cell"),
        ("campaign", "import experiments.table1"),
        ("records", "import torch"),
        ("analysis", "from torch.nn import functional"),
        ("cells", "import torchvision.transforms"),
        ("paper", "try:\n    import pytorch_lightning\nexcept ImportError:\n    pass"),
        ("records", "from gc2l.training import train"),
        ("records", "if TYPE_CHECKING:\n    from gc2l.models import build_model"),
        ("analysis", "from gc2l.models.torchvision_import import torchvision"),
        ("records", "from .. import training"),
    ],
)
def test_an_import_against_the_plan_is_found(room, source):
    assert len(violations(room, source)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("nn", "import torch\nfrom gc2l.nn.group import GroupConv2d\nfrom gc2l.variants import VARIANTS"),
        ("training", "import gc2l\nfrom gc2l.records import Record"),
        ("analysis", "from gc2l.records.schema import Record"),
        ("experiments", "from gc2l import __version__\nfrom gc2l.campaign.run import run_cell"),
        ("variants", "import torchmetrics"),
    ],
)
def test_an_import_by_the_plan_is_let_through(room, source):
    assert violations(room, source) == []
