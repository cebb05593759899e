import dataclasses
import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gc2l.bench.inference import LIBRARIES, begun, installed, layer_cases, measure, network_case
from gc2l.bench.inference import libraries as known
from gc2l.bench.inference.case import Case
from gc2l.edge import kernel
from gc2l.records import InferenceTime, Refusal, read_inference, save_measurement
from gc2l.records.environment import describe_environment


@pytest.fixture(autouse=True)
def inference():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def small(groups=2, **settings):
    conv = nn.Conv2d(4, 6, 3, groups=groups, **{"padding": 1, **settings}).eval().requires_grad_(False)
    return Case(
        name="small", network="n", kernel=3, variant="gc", groups=groups, module=conv, x=torch.randn(1, 4, 6, 6)
    )


@pytest.mark.parametrize("library", ["ours", "GSPC as published", "TVM default", "PyTorch NCHW", "PyTorch NHWC",
                                     "ONNX Runtime", "OpenVINO", "LiteRT", "ncnn", "MNN"])  # fmt: skip
def test_installed_libraries_compute_the_layer(library):
    found, absent = installed((library,))
    if absent or (library == "ours" and kernel.library() is None):
        pytest.skip(f"{library} is not installed")
    (time,), refusals = measure(small(), list(found), 1, 2, print)
    assert refusals == []
    assert time.error < 1e-4
    assert time.low <= time.seconds <= time.high


def test_a_library_that_refuses_is_kept_with_its_reason(monkeypatch):
    def refuse(case, threads):
        raise RuntimeError("no such\n kernel")

    broken = known.Library(package="p", module="m", precision="", prepare=refuse)
    monkeypatch.setattr(sys.modules[measure.__module__], "LIBRARIES", {**LIBRARIES, "broken": broken})
    said = []
    times, (refusal,) = measure(small(), ["broken", "PyTorch NCHW"], 1, 2, said.append)
    assert [time.library for time in times] == ["PyTorch NCHW"]
    assert refusal.reason == "RuntimeError: no such kernel"
    assert said == ["broken leaves out small, n = 2: RuntimeError: no such kernel"]


def test_a_wrong_output_is_seen(monkeypatch):
    def loose(case, threads):
        runner = LIBRARIES["PyTorch NCHW"].prepare(case, threads)
        return runner._replace(output=lambda y: (y * 1.01).numpy())

    monkeypatch.setattr(
        sys.modules[measure.__module__],
        "LIBRARIES",
        {"loose": known.Library(package="p", module="m", precision="", prepare=loose)},
    )
    (time,), _ = measure(small(), ["loose"], 1, 2, print)
    assert time.error == pytest.approx(0.01, rel=0.01)


def test_absent_and_unknown_libraries_are_named(monkeypatch):
    monkeypatch.setattr(known, "find_spec", lambda name: None)
    assert installed(("OpenVINO",)) == ({}, {"OpenVINO": "not installed: pip install openvino"})
    with pytest.raises(ValueError, match="library='oneDNN'"):
        installed(("oneDNN",))


def test_cases_are_the_grouped_layers_of_the_network():
    cases = list(layer_cases("wide_resnet_10_1", 32, (1, 16), ("16->16 3x3 @32",)))
    assert [(case.groups, case.kernel, tuple(case.x.shape)) for case in cases] == [
        (1, 3, (1, 16, 32, 32)),
        (16, 3, (1, 16, 32, 32)),
    ]
    assert network_case("wide_resnet_10_1", 8, "gc2l", 2).expected.shape == (1, 10)


def test_a_stopped_run_goes_on_only_where_it_is_the_same(tmp_path):
    environment, path = describe_environment(None), tmp_path / "inference.json"
    found, absent = {"PyTorch NCHW": "torch"}, {"ncnn": "not installed"}
    record = begun(path, environment, found, absent)
    assert record.times == () and not record.has("small", "n", "gc", 2, 1)
    times, refusals = measure(small(), list(found), 1, 2, print)
    refused = Refusal(case="small", variant="gc", groups=2, library="ncnn", reason="no")
    record = record.with_case(times, [*refusals, refused]).with_case([], [refused])
    assert record.has("small", "n", "gc", 2, 1) and not record.has("small", "n", "gc", 2, 2)
    assert record.refusals == (refused,)
    save_measurement(record, path)
    assert begun(path, environment, found, absent) == record
    for other in (dataclasses.replace(environment, commit="other"), dataclasses.replace(environment, dirty=False)):
        assert begun(path, other, found, absent).times == ()
    assert begun(path, environment, {"PyTorch NCHW": "torch 1"}, absent).times == ()


@pytest.fixture
def edge(monkeypatch, tmp_path):
    """The script on a small network, in a folder of the test, with a stand-in for the clock.

    It is called as `main` is and returns the cases that were measured; `stop_after` is how many a run measures before
    it is interrupted, `commit` where it runs.
    """
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    script = importlib.import_module("edge")
    monkeypatch.setattr(script, "SIZES", {"wide_resnet_10_1": 8})
    monkeypatch.setattr(script, "QUICK_LAYERS", ("16->16 3x3 @8",))
    monkeypatch.setattr(script, "keep_freed_memory", lambda: None)
    monkeypatch.setattr("gc2l.evidence.publish.inference_against_groups", lambda record: record)
    monkeypatch.setattr("gc2l.evidence.publish.to_bytes", lambda record, _: repr(record.times).encode())
    environment = describe_environment()

    def run(*, stop_after=1000, commit="first", **flags):
        measured = []

        def stand_in(case, libraries, threads, turns, report):
            if len(measured) == stop_after:
                raise KeyboardInterrupt
            measured.append((case.name, case.variant, case.groups, threads))
            numbers = {"seconds": 1.0, "low": 1.0, "high": 1.0, "turns": turns, "error": 0.0}
            names = ("name", "network", "kernel", "variant", "groups")
            of = {name: getattr(case, name) for name in names}
            of["case"] = of.pop("name")
            return [InferenceTime(**of, **numbers, threads=threads, library=library) for library in libraries], []

        monkeypatch.setattr(script, "measure", stand_in)
        monkeypatch.setattr(script, "describe_environment", lambda: dataclasses.replace(environment, commit=commit))
        given = {"groups": (1, 2), "threads": (1,), "libraries": ("PyTorch NCHW", "PyTorch NHWC")}
        try:
            script.main(output=tmp_path, **given | flags)
        except KeyboardInterrupt:
            assert len(measured) == stop_after
        return measured

    return run


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


FILES = {"inference.json", "inference.sha256", "tables/inference.md", "figures/inference_vs_groups.svg"}


def test_a_quick_run_has_files_of_its_own(edge, tmp_path):
    edge()
    full = contents(tmp_path)
    assert full.keys() == FILES
    edge(quick=True)
    both = contents(tmp_path)
    assert both.keys() == FILES | {name.replace("inference", "inference-quick") for name in FILES}
    assert {name: both[name] for name in FILES} == full


def test_a_stopped_run_of_another_commit_replaces_nothing_before_its_last_case(edge, tmp_path):
    cases = edge()
    full = contents(tmp_path)
    first = edge(commit="second", stop_after=2)
    stopped = contents(tmp_path)
    assert {name: stopped[name] for name in FILES} == full
    assert stopped.keys() - FILES == {"inference-unfinished.json", "inference-unfinished.sha256"}
    edge(commit="second", seconds=0)
    assert contents(tmp_path) == stopped
    assert first + edge(commit="second") == cases
    assert contents(tmp_path).keys() == FILES
    record = read_inference(tmp_path / "inference.json")
    assert (record.commit, len(record.times)) == ("second", 2 * len(cases))
    # More at the same commit is added.
    more = edge(commit="second", groups=(4,))
    assert more and len(read_inference(tmp_path / "inference.json").times) == 2 * len(cases + more)


@pytest.mark.parametrize(
    ("flags", "lost"),
    [
        ({"groups": (1,)}, "16->16 3x3 @8, gc, n = 2, 1 threads and"),
        ({"threads": (2,)}, "16->16 3x3 @8, gc, n = 1, 1 threads and"),
        ({"libraries": ("PyTorch NCHW",)}, "not make again: PyTorch NHWC. Give this run a --name"),
        ({"quick": True, "name": "inference"}, "16->16 3x3 @8, gc, n = 2, 1 threads and"),
    ],
)
def test_a_run_of_another_commit_that_would_lose_something_is_refused(edge, tmp_path, flags, lost):
    edge()
    full = contents(tmp_path)
    with pytest.raises(ValueError, match=lost):
        edge(commit="second", **flags)
    assert contents(tmp_path) == full
    edge(commit="second", **flags | {"name": "other"})
    assert {name: content for name, content in contents(tmp_path).items() if "other" not in name} == full
