"""The code that README.md and docs/ show: Python is executed, commands have the scripts and flags that they name."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

import gc2l.models  # noqa: F401  (so that torchvision can be imported also beside a PyTorch that is not its own)

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "results" / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (language, block) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
    if language == "python"
]


def commands() -> dict[tuple[str, ...], set[str]]:
    """The programs that are called, such as ("experiments/train.py",), and the flags that follow each."""
    found: dict[tuple[str, ...], set[str]] = {}
    for page in PAGES:
        blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
        text = "\n".join(block for language, block in blocks if language == "").replace("\\\n", " ")
        for line in text.splitlines():
            words = shlex.split(line.replace("'", " "), comments=True)
            for place, word in enumerate(words):
                flags = {flag for flag in words[place + 1 :] if flag.startswith("--")}
                if word.startswith("experiments/") and word.endswith(".py"):
                    found.setdefault((word,), set()).update(flags)
                elif words[place : place + 2] == ["-m", "gc2l"]:
                    found.setdefault(("-m", "gc2l", words[place + 2]), set()).update(flags)
    return found


COMMANDS = commands()


def test_blocks_are_found():
    assert len(PYTHON) >= 6
    assert {("experiments/train.py",), ("-m", "gc2l", "export")} <= set(COMMANDS)
    assert {"--network", "--form"} <= COMMANDS["-m", "gc2l", "export"]


@pytest.mark.parametrize("block", PYTHON)
def test_python_runs(block, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "block", "exec"), {"__name__": "block"})


@pytest.mark.parametrize("program", COMMANDS, ids=" ".join)
def test_commands_have_the_flags_that_are_shown(program, monkeypatch, capsys):
    if program[0] == "-m":
        main, arguments = importlib.import_module("gc2l.campaign.commands").main, list(program[2:])
    else:
        assert (ROOT / program[0]).is_file()
        monkeypatch.syspath_prepend(str(ROOT / "experiments"))
        main, arguments = importlib.import_module(Path(program[0]).stem).main, []
    monkeypatch.setattr(sys, "argv", ["program", *arguments, "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    known = set(re.findall(r"--[a-z][a-z0-9.-]*", capsys.readouterr().out))
    assert COMMANDS[program] <= known
