import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from gc2l.bench import results as module
from gc2l.bench.results import Results
from gc2l.files import checksum_path


def row(candidate, median, groups=4):
    return {"network": "n", "groups": groups, "candidate": candidate, "median": median}


def results(folder, **details):
    return Results(folder / "day", **({"threads": 1} | details))


def columns(path, table):
    return json.loads(path.read_text())[table]


def test_a_second_run_of_the_day_keeps_what_the_first_measured(tmp_path):
    first = results(tmp_path)
    first.limits = {"flops": 2.0}
    first.add("layers", [row("GC", 1.0), row("GC-2L", 1.5)])
    second = results(tmp_path)
    assert second.limits == {"flops": 2.0}
    second.add("steps", [row("GC", 3.0)])
    assert columns(first.path, "layers") == {
        "network": ["n", "n"], "groups": [4, 4], "candidate": ["GC", "GC-2L"], "median": [1.0, 1.5]
    }  # fmt: skip
    results(tmp_path).add("layers", [row("GC-2L", 1.25), row("GC-2L", 2.5, groups=8)])
    layers = columns(first.path, "layers")
    assert list(zip(layers["candidate"], layers["groups"], layers["median"], strict=True)) == [
        ("GC", 4, 1.0), ("GC-2L", 4, 1.25), ("GC-2L", 8, 2.5)
    ]  # fmt: skip
    assert columns(first.path, "steps")["median"] == [3.0]
    assert json.loads(first.path.read_text())["started"] == first._details["started"]


def test_another_batch_size_is_another_measurement(tmp_path):
    results(tmp_path).add("steps", [row("GC", 1.0) | {"images": 16}])
    results(tmp_path).add("steps", [row("GC", 2.0) | {"images": 64}])
    results(tmp_path).add("steps", [row("GC", 3.0) | {"images": 64}])
    steps = columns(tmp_path / "day.json", "steps")
    assert (steps["images"], steps["median"]) == ([16, 64], [1.0, 3.0])


def test_another_commit_or_setting_needs_another_name(tmp_path, monkeypatch):
    first = results(tmp_path)
    first.add("layers", [row("GC", 1.0)])
    content = first.path.read_bytes()
    with pytest.raises(ValueError, match=r"day\.json has threads=1, this run 2: give it a --name of its own"):
        results(tmp_path, threads=2)
    here = module.describe_environment()
    monkeypatch.setattr(module, "describe_environment", lambda **_: dataclasses.replace(here, commit="other"))
    with pytest.raises(ValueError, match=r"has commit='.*', this run 'other'"):
        results(tmp_path)
    assert first.path.read_bytes() == content and checksum_path(first.path).exists()


def test_layers_then_steps_are_both_in_the_file_of_the_day(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    bench = importlib.import_module("bench")
    monkeypatch.setattr(bench, "keep_freed_memory", lambda: True)
    monkeypatch.setattr(bench, "peak_flops", lambda _: 1.0)
    monkeypatch.setattr(bench, "peak_bandwidth", lambda _: 1.0)
    monkeypatch.setattr(bench, "draw_roofline", lambda *_: None)
    monkeypatch.setattr(bench, "to_bytes", lambda *_: b"")
    monkeypatch.setattr(bench, "targets", lambda **tables: f"{[len(rows) for rows in tables.values()]}")
    monkeypatch.setattr(bench, "_layers", lambda network, *_: [{**row("GC", 1.0), "network": network}])
    monkeypatch.setattr(bench, "_steps", lambda network, *_: [{**row("GC", 2.0), "network": network}])
    for part in ("layers", "steps"):
        assert bench.main(parts=(part,), output=tmp_path, name="day") == 0
    assert "[2, 3, 0]" in capsys.readouterr().out
    assert len(columns(tmp_path / "day.json", "layers")["median"]) == 2
    assert len(columns(tmp_path / "day.json", "steps")["median"]) == 3
