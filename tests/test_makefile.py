"""RESULTS= moves what a target writes: every folder of results that a script has a flag for is handed on."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gc2l.cells import read_presets
from gc2l.paper import reported_rows

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^([a-z0-9-]+):.*\n\t@\$\(RUN\) (experiments/.*)$", MAKEFILE, re.MULTILINE))
PRESETS = read_presets(ROOT / "experiments" / "presets")
OF_THE_REPOSITORY = {"verify", "weights"}
"""Targets about the committed results."""


@pytest.mark.parametrize("target", sorted(RECIPES.keys() - OF_THE_REPOSITORY))
def test_results_are_handed_on(target):
    recipe = RECIPES[target].replace("$(RUNS)", "--runs $(RESULTS)")
    recipe = recipe.replace("$(APPROXIMATION)", "--approximation $(RESULTS)")
    recipe = recipe.replace("$(MEASURED)", "--measured $(RESULTS)")
    script = re.match(r"experiments/\w+", recipe)[0]
    source = (ROOT / f"{script}.py").read_text(encoding="utf-8")
    flags = set(re.findall(r'(\w+): Path = Path\("results', source))
    assert flags <= set(re.findall(r"--(\w+) \$\(RESULTS\)", recipe))


def test_the_targets_that_write_results_are_seen():
    assert {"table1", "table2", "bench", "edge", "wire", "claims"} <= RECIPES.keys()


@pytest.fixture
def make(tmp_path):
    """Run make where every script only notes when it begins, with its arguments, and when it ends."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (tmp_path / "script").write_text('#!/bin/sh\necho begin "$@" >> log\nsleep 0.02\necho end >> log\n')
    (tmp_path / "script").chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt", "ready"):
        (tmp_path / name).touch()
    # Not what an outer make, whose test this is, was told.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def run(*arguments: str) -> list[str]:
        command = ["make", "RUN=./script", "READY=ready", *arguments]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)
        log = tmp_path / "log"
        lines = log.read_text().splitlines()
        log.unlink()
        return lines

    return run


def test_reproducing_judges_after_training_whatever_runs_at_once(make):
    lines = make("-j4", "reproduce", "RESULTS=again")
    assert [line.split()[0] for line in lines] == ["begin", "end"] * (len(lines) // 2)
    order = [line.split()[1] for line in lines[::2]]
    names = ("table1", "table3", "table4", "approximation", "figures", "claims", "report")
    assert order == [f"experiments/{name}.py" for name in names]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_reproducing_trains_the_tables_that_the_preset_has_columns_for(preset, make):
    own = {(column.network, column.dataset) for column in PRESETS[preset].columns}
    trained = ("table1", "table3", "table4")  # Table 2's are networks on several ranks
    tables = [name for name in trained if own & {(row.network, row.dataset) for row in reported_rows(name)}]
    lines = make("reproduce", f"PRESET={preset}")
    begun = [line.split()[1] for line in lines if "table" in line]
    assert begun == [f"experiments/{name}.py" for name in tables]


@pytest.mark.parametrize(
    ("results", "scratch"),
    [("results", ".scratch"), ("results/", ".scratch"), ("./results", ".scratch"), ("again/", "again/scratch")],
)
def test_the_folder_of_results_may_be_written_otherwise(results, scratch, make):
    begin, _ = make("table1", f"RESULTS={results}")
    assert f"--execution.scratch {scratch} " in begin
