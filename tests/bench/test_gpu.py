"""The benchmark of a GPU, carried out on a CPU: what it measures and leaves out, its file and its targets."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gc2l.bench import gpu as gpu_module
from gc2l.bench.device import Device
from gc2l.bench.gpu import FULL, QUICK, GpuBenchmark, Plan
from gc2l.bench.layers import FRAMEWORK, LayerShape
from gc2l.bench.loops import BARE, PLAIN, SUITE
from gc2l.bench.report import GPU_LAYER, GPU_STEP_OF_SC, gpu_targets
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d

TINY = Plan(
    network="wide_resnet_10_1",
    size=8,
    shapes=[LayerShape(c_in=16, c_out=16, kernel=3, stride=1, size=4, count=1)],
    groups=(2, 4),
    images=4,
    rounds=2,
    side=16,
    mebibytes=1,
    compiled=False,
    loop_batches=2,
    limits_seconds=0.01,
)


class Repeated:
    """Graphs that repeat the run itself, and may refuse some of them."""

    captured = 0

    def __init__(self, refuse=False):
        self.refuse = refuse

    def aside(self, step):
        return step()

    def capture(self, step):
        if self.refuse:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        Repeated.captured += 1
        return step


def benchmark(plan=TINY, graphs=Repeated, precision="bfloat16", log=print):
    return GpuBenchmark(plan, Device(precision=precision, graphs=graphs), Path("nowhere"), log)


def test_layers_in_every_way_and_both_formats():
    before = Repeated.captured
    rows = benchmark().layers()
    ways = {f"GC {way}" for way in GroupConv2d.ALGORITHMS[1:] if way != "matmul"}
    ways |= {f"GC-2L {way}" for way in TwoLevelGroupConv2d.ALGORITHMS[1:]}
    everywhere = {FRAMEWORK, "SC", "GC", "GC-2L", "Shuffle"} | ways
    for n, expected in ((2, everywhere), (4, everywhere | {"FLGC"})):
        for channels_last in (True, False):
            for kind in ("forward", "forward + backward"):
                found = [
                    row
                    for row in rows
                    if (row["groups"], row["channels_last"], row["pass"]) == (n, channels_last, kind)
                ]
                assert {row["candidate"] for row in found} == expected
    assert all(row["seconds"] > 0 and row["graph"] for row in rows)
    assert Repeated.captured - before == len(rows)


def test_steps_as_they_are_and_as_graphs():
    rows = benchmark().steps()
    trained = [row for row in rows if row["pass"] == "training step"]
    assert {(row["groups"], row["graph"], row["compile"]) for row in trained} == {
        (n, graph, False) for n in (2, 4) for graph in (True, False)
    }
    for n, expected in ((2, set()), (4, {"FLGC"})):
        found = {row["candidate"] for row in trained if row["groups"] == n}
        assert found == {"GC", "GC-2L", FRAMEWORK, "SC", "Shuffle"} | expected
    assert not any(row["graph"] for row in rows if row["pass"] == "inference")


def test_what_cannot_be_captured_is_timed_as_it_is(capsys):
    run = Device(graphs=lambda: Repeated(refuse=True)).recorded(lambda: (torch.ones(1),))
    assert run() == (torch.ones(1),)
    assert capsys.readouterr().out == (
        "not captured as a CUDA graph: operation not permitted when stream is capturing\n"
    )


def test_a_part_ends_with_its_time_and_says_what_it_left_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(gpu_module.time, "monotonic", lambda: now[0])

    def slow(*_, **__):
        now[0] += 60
        return []

    monkeypatch.setattr(gpu_module, "measure_layer", slow)
    monkeypatch.setattr(gpu_module, "measure_steps", slow)
    monkeypatch.setattr(gpu_module, "measure_loops", slow)
    lines = []
    one = benchmark(FULL, log=lines.append)
    one.layers()
    one.steps()
    one.loops()
    one.compiled_steps()
    assert lines == [
        "layers: 22 of 24 left out after 90 s",
        "steps: 6 of 8 left out after 60 s",
        "loops: 1 of 2 left out after 40 s",
        "compiled steps: left out, the time limit is reached",
    ]


@pytest.mark.parametrize(("plan", "minutes"), [(FULL, 6), (QUICK, 2)])
def test_the_times_of_the_parts_leave_a_minute_or_a_half_for_what_overruns(plan, minutes):
    parts = 2 * plan.limits_seconds + plan.layers_seconds + plan.steps_seconds + plan.loops_seconds
    assert parts <= plan.compile_before if plan.compiled else parts <= 60 * minutes - 30


def test_loops_on_this_device(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(gpu_module, "measure_loops", lambda **given: calls.append(given) or [])
    benchmark(graphs=None).loops()
    assert [(one["label"], one["groups"], one["batches"]) for one in calls] == [("GC-2L", 4, 2), ("SC", 1, 2)]


def test_the_script_prints_every_table_and_writes_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    script = importlib.import_module("bench_gpu")
    numbers = {
        "network": "wide_resnet_10_4",
        "low": 1.0,
        "high": 2.0,
        "images_per_second": 3.0,
        "variant": "SC",
        "groups": 1,
    }
    loops = [{**numbers, "candidate": name, "median": 1.0} for name in (SUITE, PLAIN, BARE)]
    monkeypatch.setattr(gpu_module, "measure_loops", lambda **_: list(loops))
    plan = replace(TINY, groups=(4,), both_formats=False)
    assert script.measure(plan, Device(), ("layers", "loops", "steps"), tmp_path / "card", "no GPU") == 0
    printed = capsys.readouterr().out
    for word in (
        "matrix products",
        "(a) layers",
        "(c) loops",
        "(b, e) steps",
        "targets",
        "GC-2L / SC step, eager, n = 4",
    ):
        assert word in printed
    content = json.loads((tmp_path / "card.json").read_text())
    assert content["hardware"]["accelerator"] == "no GPU"
    assert len(content["layers"]["median"]) == len(content["layers"]["candidate"]) > 20
    assert content["limits"]["flops"] > 0
    assert set(content["loops"]["candidate"]) == {SUITE, PLAIN, BARE}

    def missing(**_):
        raise FileNotFoundError("CIFAR-10 is not here")

    monkeypatch.setattr(gpu_module, "measure_loops", missing)
    assert script.measure(plan, Device(), ("loops",), tmp_path / "card", "no GPU") == 0
    assert "(c) loops: not measured, CIFAR-10 is not here" in capsys.readouterr().out
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"'cuda' is not available"):
        script.main(output=tmp_path)


def test_targets_are_held_against_figures():
    common = {"pass": "training step", "groups": 4, "compile": False, "graph": True, "flops": None}
    steps = [
        {**common, "candidate": "GC", "seconds": 7.0, "median": 1.0},
        {**common, "candidate": "GC-2L", "seconds": 8.5, "median": 8.5 / 7},
        {**common, "candidate": "SC", "seconds": 10.0, "median": 10 / 7, "flops": 50.0},
    ]
    place = {"c_in": 160, "size": 32, "pass": "forward + backward", "channels_last": True}
    layers = [
        {**place, "groups": n, "candidate": name, "median": value}
        for n, times in ((2, (1.0, 0.5, 0.2, 0.45)), (16, (1.0, 2.0, 0.625, 0.8)))
        for name, value in zip((FRAMEWORK, "SC", "GC", "GC-2L"), times, strict=True)
    ]
    lines = gpu_targets(layers, steps, {"flops": 10.0, "bytes_per_second": 1.0}).splitlines()[3:]
    found = {line.split("  ")[0]: line.split()[-2:] for line in lines if line}
    assert GPU_STEP_OF_SC["GC-2L"][4] == 0.8 and GPU_LAYER == 0.6
    assert found["GC-2L / SC step, graph, n = 4"] == ["0.850", "MISSED"]
    assert found["GC / SC step, graph, n = 4"] == ["0.700", "met"]
    assert found["GC-2L / GC step, graph, n = 4"] == ["1.214", "MISSED"]
    assert found["SC step, graph, n = 4: share of the measured peak"] == ["0.500", "met"]
    layer = "layers over the better of cuDNN's grouped and dense, geometric mean of 2"
    assert found[f"GC {layer}"] == ["0.500", "met"]  # 0.2 / 0.5 and 0.625 / 1
    assert found[f"GC-2L {layer}"] == ["0.849", "MISSED"]  # 0.45 / 0.5 and 0.8 / 1


def test_time_on_a_gpu_is_that_between_two_events(monkeypatch):
    order = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            order.append("event")

        def synchronize(self):
            order.append("wait")

        def elapsed_time(self, end):
            return 250.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    assert Device(name="cuda").seconds_of(lambda: order.append("run")) == 0.25
    assert order == ["event", "run", "event", "wait"]


def test_peak_memory_of_a_gpu_is_what_the_run_adds(monkeypatch):
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 100)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 130)
    assert Device(name="cuda").peak_bytes(lambda: None) == 30
    assert Device().peak_bytes(lambda: None) is None
