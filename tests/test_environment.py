"""One set of versions: pyproject.toml names the direct requirements, constraints.txt pins, environment.yml repeats."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def exact_version(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not pinned"
    return specifier.version


def pins(requirements: list[Requirement]) -> dict[str, str]:
    """Name to version; a name that stands twice is an error."""
    found = {canonicalize_name(requirement.name): exact_version(requirement) for requirement in requirements}
    assert len(found) == len(requirements)
    return found


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return pins([Requirement(line) for line in lines if line and not line.startswith("#")])


def direct_requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for group in (PROJECT["dependencies"], *extras) for text in group]


def environment() -> tuple[list[str], list[str]]:
    """The conda and the pip dependencies of environment.yml."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert content["name"] == PROJECT["name"]
    *conda, last = content["dependencies"]
    return conda, last["pip"]


@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_every_direct_requirement_is_pinned_within_its_bounds(requirement):
    version = constraints()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_environment_repeats_the_pins_of_the_direct_requirements():
    _, pip = environment()
    assert pip.count("--editable .") == 1
    repeated = pins([Requirement(line) for line in pip if line != "--editable ."])
    pinned = constraints()
    direct = {canonicalize_name(requirement.name) for requirement in direct_requirements()}
    assert repeated == {name: pinned[name] for name in direct}


def test_environment_has_a_python_that_the_package_supports():
    conda, _ = environment()
    (python,) = (line.partition("=")[2] for line in conda if line.startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    assert "pip" in conda


def test_the_container_has_a_python_that_the_package_supports_and_is_not_roots():
    folder = ROOT / ".devcontainer"
    lines = (folder / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (python,) = (found[1] for line in lines if (found := re.match(r"FROM python:([\d.]+)-slim AS tools$", line)))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    install = lines.index("RUN make install")  # which takes constraints.txt
    assert lines.index("USER gc2l") < lines.index("FROM tools") < lines.index("COPY --chown=gc2l . .") < install
    # Else builders other than BuildKit give the folder to root, and a .venv of another machine passes for installed.
    assert any(line.endswith("install --directory --owner gc2l --group gc2l /home/gc2l/checkout") for line in lines)
    assert {".git", ".venv", "**/*.so"} <= set((ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines())
    settings = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    assert settings["build"] == {"dockerfile": "Dockerfile", "context": "..", "target": "tools"}
    assert settings["remoteUser"] == "gc2l"
