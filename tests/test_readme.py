"""The numbers in the READMEs are those of the records, and their links lead somewhere."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "results/README.md",
    "sweeps/README.md",
    "CONTRIBUTING.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)


def test_the_numbers_are_those_of_the_records(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    for path, text in importlib.import_module("readme").readmes(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is not what the records give; refresh: make report"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text) + re.findall(r'src="([^"]+)"', text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        code = re.findall(r"^make ([^#\n]+)|`make ([^`]+)`", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        named = {word for found in code for word in shlex.split("".join(found)) if "=" not in word}
        assert named <= targets, page
