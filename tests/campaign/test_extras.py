import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gc2l.campaign import extras
from gc2l.campaign.extras import SUITE

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "experiments").glob("*.py"))
LINE = 'error: {} is not installed; install it with: pip install ".[suite]" in the checkout of gc2l\n'
WITHOUT = """
import runpy, sys
missing, path, *sys.argv[1:] = sys.argv[1:]
sys.modules[missing] = None
run = runpy.run_path if path.endswith(".py") else runpy.run_module
run(path, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("program", "missing"),
    [
        ("experiments/sweep.py", "tyro"),
        ("experiments/tables.py", "pydantic"),
        ("experiments/train.py", "pytorch_lightning"),
        ("gc2l", "safetensors.torch"),
    ],
)
def test_without_the_extra_a_program_ends_with_one_line_that_names_it(program, missing, torch_python):
    ended = subprocess.run(
        [str(torch_python), "-c", WITHOUT, missing, program, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", LINE.format(missing))


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'absent'", name="absent"), ModuleNotFoundError(), ValueError("x")]
)
def test_other_errors_are_reported_as_before(error, monkeypatch, capsys):
    told = []
    monkeypatch.setattr(extras, "_report", lambda *arguments: told.append(arguments))
    extras.report_missing(type(error), error, None)
    assert told == [(type(error), error, None)]
    assert capsys.readouterr().err == ""


def test_the_modules_are_those_of_the_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    suite = {canonicalize_name(Requirement(text).name) for text in project["optional-dependencies"]["suite"]}
    of = {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}
    assert all(of[module] & suite for module in SUITE)
    assert suite == suite & {name for module in SUITE for name in of[module]}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_what_tells_it_before_anything_that_may_be_missing(path):
    modules = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules.append(node.module)
    foreign = [module for module in modules if module.partition(".")[0] not in sys.stdlib_module_names]
    assert foreign[0] == "gc2l.campaign.script"
