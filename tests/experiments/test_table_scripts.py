"""Every table's script, run for real on a preset of one epoch."""

import importlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from records import samples

from gc2l.analysis.claims.network_approximation import Approximation, read_approximations, to_csv
from gc2l.cells import read_presets, table_cells
from gc2l.files import write_checked
from gc2l.records import RunStore

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PRESET = """
description = "one epoch of digits"

[[column]]
network = "wide_resnet_28_10"
dataset = "cifar10"
model = { network = "wide_resnet_cifar", depth = 10, width = 1 }
data = { name = "digits" }
training = { epochs = 1, batch_size = 64, learning_rate = 0.1, schedule = "one_cycle" }

[[column]]
network = "mobilenet_v2"
dataset = "imagenet"
model = { network = "mobilenet_v2", width = 0.25 }
data = { name = "digits" }
training = { epochs = 1, batch_size = 128, learning_rate = 0.001, schedule = "one_cycle" }
"""
TINY = ("--preset", "tiny", "--execution.wandb", "disabled")


@pytest.fixture
def run_script(forked, tmp_path, monkeypatch, capsys):
    """Run a script's main function with its presets, runs and results in a folder of the test."""
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "tiny.toml").write_text(PRESET)
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")

    def run(name: str, *arguments: str) -> tuple[str, str]:
        module = importlib.import_module(name)
        monkeypatch.setattr(module, "PRESETS", presets)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        assert module.main() == 0
        return capsys.readouterr()

    return run


@pytest.mark.parametrize(("table", "cells"), [("table1", 9)])
def test_a_table_trains_what_is_missing_and_is_written(table, cells, run_script, tmp_path):
    out, err = run_script(table, *TINY, "--jobs", "2")
    assert f"0 of {cells} cells have a record, {cells} to train" in err
    assert "left for the grid" in err
    records = RunStore(tmp_path / "results/runs").all()
    assert len(records) == cells
    assert {record.preset for record in records} == {"tiny"}
    for record in records:
        assert f"{record.test.error_percent:.2f} (k=1)" in out
    folder = tmp_path / "results/tables"
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert sorted(files) == [f"{table}.csv", f"{table}.md", f"{table}.tex"]
    again, err = run_script(table, "--preset", "tiny")
    assert f"{cells} of {cells} cells have a record, 0 to train" in err
    assert again == out
    written, _ = run_script("tables")
    assert out in written
    assert files == {name: (folder / name).read_text() for name in files}


def test_the_tables_leave_the_folder_of_measurements_alone(run_script, tmp_path):
    measured = tmp_path / "measured/beyond"
    measured.mkdir(parents=True)
    for name in ("conversion.json", "conversion.sha256"):
        shutil.copy(EXPERIMENTS.parent / "results/beyond" / name, measured)
    run_script("tables", "--measured", str(measured.parent), "--beyond", "pages")
    assert "GC-2L, m = 4" in (tmp_path / "pages/conversion.md").read_text()
    assert len(list(measured.parent.rglob("*"))) == 3


def test_table_4_is_written_from_its_records(run_script, tmp_path):
    preset = read_presets(tmp_path / "presets")["tiny"]
    for cell in table_cells(["table4"], preset, [1]):
        RunStore(tmp_path / "results/runs").save(cell, samples.record(cell))
    out, err = run_script("table4", "--preset", "tiny")
    assert "13 of 13 cells have a record, 0 to train" in err
    assert "MobileNetV2" in out


def test_tables_share_their_cells(run_script, tmp_path):
    preset = read_presets(tmp_path / "presets")["tiny"]
    cells = table_cells(["table3"], preset, [1])
    shared = set(cells) & set(table_cells(["table1"], preset, [1]))
    assert (len(shared), len(cells)) == (8, 16)
    missing = {("shuffle", 2), ("flgc", 4)}
    for cell in cells:
        if (cell.model.variant, cell.model.groups) not in missing:
            RunStore(tmp_path / "results/runs").save(cell, samples.record(cell))
    _, err = run_script("table3", *TINY)
    assert "14 of 16 cells have a record, 2 to train" in err


def test_a_preset_without_the_tables_columns_is_refused(run_script, tmp_path):
    head, _, mobilenet = PRESET.split("[[column]]")
    (tmp_path / "presets" / "narrow.toml").write_text(f"{head}[[column]]{mobilenet}")
    with pytest.raises(ValueError, match="'narrow' has no column for table1"):
        run_script("table1", "--preset", "narrow")


def test_the_grid_beyond_trains_at_one_budget_and_is_written(run_script, tmp_path):
    out, err = run_script("beyond", *TINY)
    assert "0 of 8 cells have a record, 8 to train" in err
    records = RunStore(tmp_path / "results/runs").all()
    by_variant = {
        (r.configuration["model"]["variant"], r.configuration["model"]["coarse_channels"]): r for r in records
    }
    assert {r.preset for r in records} == {"tiny", "custom"}
    assert (by_variant["gc", 1].preset, by_variant["scc", 1].preset) == ("tiny", "custom")
    budget = by_variant["gc2l", 1].parameters
    assert all(abs(record.parameters / budget - 1) < 0.3 for record in records)
    written = (tmp_path / "results/beyond/tiny.md").read_text()
    assert written.strip() == out.strip()
    for record in records:
        assert f"| {record.parameters:,} | {record.test.error_percent:.2f} |".replace(" ", "") in written.replace(
            " ", ""
        )


def test_the_ablations_are_trained_once_and_written(run_script, tmp_path, monkeypatch):
    grid = importlib.import_module("gc2l.campaign.ablations")
    chosen = grid.ABLATIONS["assignment"]
    short = {label: chosen.changes[label] for label in ("FLGC", "frozen at its random start")}
    monkeypatch.setattr(grid, "ABLATIONS", {"assignment": replace(chosen, groups=(4,), changes=short)})
    sys.modules.pop("ablations", None)
    out, err = run_script("ablations", "--preset", "tiny")
    assert "0 of 2 cells have a record, 2 to train" in err
    written = (tmp_path / "results/ablations/tiny.md").read_text()
    assert written.strip() == out.strip()
    learned, frozen = sorted(RunStore(tmp_path / "results/runs").all(), key=lambda record: record.preset == "custom")
    assert (learned.preset, frozen.configuration["model"]["assignment"]) == ("tiny", "frozen")
    assert [len(record.assignment) for record in (learned, frozen)] == [1, 0]
    for record in (learned, frozen):
        assert f"{record.test.error_percent:.2f}" in written
    # A second seed's records stay in the table when one is asked for.
    _, err = run_script("ablations", "--preset", "tiny", "--seeds", "2")
    assert "2 of 4 cells have a record" in err
    written = (tmp_path / "results/ablations/tiny.md").read_text()
    out, err = run_script("ablations", "--preset", "tiny")
    assert "2 of 2 cells have a record" in err
    assert (tmp_path / "results/ablations/tiny.md").read_text() == written
    assert all(line.endswith("|       2 |") for line in out.splitlines() if line.startswith("|   4 |"))


def test_the_ablations_of_another_column_have_a_file_of_their_own(run_script, tmp_path, monkeypatch):
    grid = importlib.import_module("gc2l.campaign.ablations")
    chosen = grid.ABLATIONS["assignment"]
    monkeypatch.setattr(grid, "ABLATIONS", {"assignment": replace(chosen, groups=(4,), changes={})})
    sys.modules.pop("ablations", None)
    head, first, _ = PRESET.split("[[column]]")
    both = f"{head}[[column]]{first.replace('digits', 'cifar10')}[[column]]{first.replace('cifar10', 'cifar100')}"
    (tmp_path / "presets" / "both.toml").write_text(both)
    run_script("ablations", "--preset", "both", "--dataset", "digits")
    run_script("ablations", "--preset", "both")
    assert sorted(path.name for path in (tmp_path / "results/ablations").iterdir()) == ["both-digits.md", "both.md"]


def test_trained_networks_are_converted_and_tuned(run_script, tmp_path, monkeypatch, capsys):
    conversion = importlib.import_module("conversion")
    monkeypatch.setattr(conversion, "PRESETS", tmp_path / "presets")
    monkeypatch.setattr(conversion, "CONVERSIONS", {"GC-2L, m = 4": ("gc2l", {"coarse_channels": 4})})
    assert conversion.main(preset="tiny", groups=2, seeds=2, output=tmp_path / "beyond") == 0
    weights = min((tmp_path / ".scratch/weights").glob("*.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=f"{weights.name} is not what was written"):
        conversion.main(preset="tiny", groups=2, seeds=2, output=tmp_path / "other")
    written = (tmp_path / "beyond/conversion.md").read_text()
    assert written.strip() == capsys.readouterr().out.strip()
    nearest, fresh = ([cell.strip() for cell in row.split("|")[1:-1]] for row in written.splitlines()[-2:])
    assert nearest[:2] == ["GC-2L, m = 4", "nearest"] and fresh[:2] == ["GC-2L, m = 4", "fresh"]
    # Rank 4 of each block column: most of what the network had learned is left, of fresh weights nothing.
    assert float(nearest[3].split()[0]) < float(fresh[3].split()[0])
    for fewer, lost in (({"seeds": 1}, "4 with nearest weights, seed 2 and 1 more"), ({"groups": 4}, "groups=2")):
        with pytest.raises(ValueError, match=f"would replace and not make again: .*{lost}"):
            conversion.main(**{"preset": "tiny", "groups": 2, "seeds": 2, "output": tmp_path / "beyond"} | fewer)
    assert (tmp_path / "beyond/conversion.md").read_text() == written


def test_approximations_without_a_record_stay(run_script, tmp_path):
    path = tmp_path / "copy.csv"
    numbers = {"gc": 0.5, "gc2l": 0.25, "random_gc": 0.5, "random_gc2l": 0.5}
    old = [Approximation(preset="mini", identity="0123", seed=1, groups=n, **numbers) for n in (2, 4)]
    write_checked(path, to_csv(old))
    out, _ = run_script("approximation", "--runs", "empty", "--output", str(path))
    assert "kept without a record in empty: mini/0123\n" in out
    assert list(read_approximations(path)) == old


def test_a_coarse_level_of_nothing_is_not_recorded(run_script, tmp_path):
    script = importlib.import_module("coarse_level")
    with pytest.raises(ValueError, match="has no released GC-2L network to measure"):
        script.main(results=tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
