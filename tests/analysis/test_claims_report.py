import importlib
import json
from pathlib import Path

import pytest
from analysis.claims_evidence import column, evidence, of_errors

from gc2l.analysis.claims import CLAIMS, evaluate, to_json, to_markdown, to_terminal
from gc2l.analysis.text import TERMINAL_WIDTH

REPOSITORY = Path(__file__).parents[2]
CIFAR = column()
WRONG = {("gc", n): [100, 110, 120] for n in (2, 4, 8, 16)} | {("gc2l", n): [90, 98, 112] for n in (2, 4, 8)}


@pytest.fixture(scope="module")
def findings():
    return evaluate(of_errors(CIFAR, WRONG))


def test_every_claim_of_the_list_is_there_once():
    expected = ["A1", "A2", "A3", "A4", "A5", "A6", "B1", "B2", "B3", "B4", "C1", "C2", "C3", "D1", "E1", "E2"]
    assert [claim.id for claim in CLAIMS] == expected


def test_without_any_run_only_the_exact_claims_are_decided():
    decided = {claim.id for claim, found in evaluate(evidence(CIFAR, [])) if found[0].verdict != "not yet tested"}
    assert decided == {"A3", "A5", "B4"}


def test_terminal_fits_and_names_verdict_scale_and_effect(findings):
    text = to_terminal(findings)
    assert max(map(len, text.splitlines())) <= TERMINAL_WIDTH
    words = " ".join(text.split())
    assert "tiny: WideResNet-10-2" in words
    assert "inconclusive" in words
    assert "Holm" in words


def test_markdown_has_every_part(findings):
    text = to_markdown(findings)
    assert "## A1: " in text
    assert "| n = 2: GC-2L - GC" in text
    # -1.0, -1.2 and -0.8 points: mean -1, half 4.302653 * 0.2 / sqrt(3).
    assert "-1.00 (-1.50 to -0.50)" in text
    assert "Missing: finished runs of GC-2L n = 16." in text


@pytest.mark.parametrize(
    ("at_8", "at_16", "shown"),
    [
        ([90, 98, 112], [90, 99, 107], "n = 8: GC-2L - GC: -1.00 (-1.50 to -0.50)"),  # all good, n = 8 the least so
        ([90, 98, 112], [98, 112, 115], "n = 16: GC-2L - GC: -0.17 (-1.04 to 0.71)"),  # one undecided
        ([120, 128, 142], [98, 112, 115], "n = 8: GC-2L - GC: 2.00 (1.50 to 2.50)"),  # one against
    ],
)
def test_the_summary_shows_the_part_that_decides(at_8, at_16, shown):
    good = {("gc2l", n): [40, 52, 63] for n in (2, 4)}
    text = to_markdown(evaluate(of_errors(CIFAR, WRONG | good | {("gc2l", 8): at_8, ("gc2l", 16): at_16})))
    assert shown in next(line for line in text.splitlines() if line.startswith("| A1"))


def test_json_is_complete_and_strict(findings):
    content = {claim["id"]: claim for claim in json.loads(to_json(findings), parse_constant=pytest.fail)}
    (finding,) = content["A1"]["findings"]
    assert finding["verdict"] == "inconclusive"
    assert finding["scale"]["preset"] == "tiny"
    assert finding["scale"]["epochs"] == 1
    assert finding["seeds"] == [3, 3]
    part = finding["parts"][0]
    assert part["verdict"] == "reproduced"
    assert part["claimed"] == ["<", 0]
    assert part["seeds"] == [1, 2, 3]
    assert CIFAR.cell("gc2l", 2, 1).identity in part["runs"]
    assert content["B1"]["findings"][0]["scale"] is None


def test_the_script_writes_both_files(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(REPOSITORY / "experiments"))
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr("sys.argv", ["claims.py", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path)])
    assert importlib.import_module("claims").main() == 0
    assert "A3      reproduced" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "claims.json").read_text())) == len(CLAIMS)
    assert (tmp_path / "claims.md").read_text().startswith("# The paper's claims")
