import dataclasses
import sys

import pytest
import torch
from torch import nn

from gc2l.bench.inference import LIBRARIES, begun, installed, layer_cases, measure, network_case
from gc2l.bench.inference import libraries as known
from gc2l.bench.inference.case import Case
from gc2l.edge import kernel
from gc2l.records import Refusal, save_measurement
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
