"""RESULTS= moves what a target writes: every folder of results that a script has a flag for is handed on."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^([a-z0-9-]+):.*\n\t@\$\(RUN\) (experiments/.*)$", MAKEFILE, re.MULTILINE))
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
