"""The closed form that `make wire` prints, against sums over the paper's networks written out here."""

import importlib
from pathlib import Path

import pytest

from gc2l.records import WireRecord

# MobileNetV2 at 224 pixels: expansion, channels, units and stride of each stage.
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


@pytest.fixture
def wire(monkeypatch):
    """The script, which counts nothing; `wire.counted` holds the groups that it would have counted."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    script = importlib.import_module("wire")
    counted = []

    def count(groups):
        counted.append(tuple(groups))
        return WireRecord(
            commit="c", dirty=False, versions={}, network="wide_resnet_10_2", ranks=2, images=3, counts=()
        )

    monkeypatch.setattr(script, "count_wire", count)
    monkeypatch.setattr(script, "counted", counted, raising=False)
    return script


def mobilenet_gc2l(n, images, element):
    """Bytes that a rank receives forward and backward: z of every 1 x 1 convolution but the last, and the logits."""
    side, z = 112, 0
    for expansion, _, units, stride in STAGES:
        for unit in range(units):
            if expansion > 1:
                z += n * images * side**2 * element
            side //= stride if unit == 0 else 1
            z += n * images * side**2 * element
    z = z * (n - 1) // n
    return z + 2 * images * 1000 * element * (n - 1) // n, z


def test_mobilenet_has_the_papers_groups_and_classes(wire, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(wire, "parallel_variants", lambda: ("sc", "gc", "shuffle", "gc2l"))  # each takes a second
    assert wire.main("mobilenet_v2", images=4, output=tmp_path / "wire.json") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {int(line[0]): line[3:5] for line in lines if line[1:2] == ["GC-2L"]}
    assert found == {n: [f"{size / 2**20:.2f}" for size in mobilenet_gc2l(n, 4, 4)] for n in (2, 4, 8)}
    # Group convolution sends its logits alone: 4 images, 1000 classes, 4 bytes, to sum and to spread.
    (forward, backward) = next(line[3:5] for line in lines if line[:2] == ["8", "GC"])
    assert (forward, backward) == (f"{2 * 7 / 8 * 16_000 / 2**20:.2f}", "0.00")
    assert wire.counted == [(2, 4, 8, 16)]


@pytest.mark.parametrize(("network", "classes"), [("wide_resnet_28_10", 10), ("wide_resnet_34_2", 1000)])
def test_wide_residual_networks_have_the_papers_classes(wire, tmp_path, capsys, network, classes):
    wire.main(network, images=1000, groups=(16,), output=tmp_path / "wire.json")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {int(line[0]): line[3] for line in lines if line[1:2] == ["GC"]}
    assert found == {16: f"{2 * 15 / 16 * 1000 * classes * 4 / 2**20:.2f}"}


def test_groups_that_the_network_cannot_have_are_refused_before_anything_is_measured(wire, tmp_path):
    with pytest.raises(ValueError, match="groups=16"):
        wire.main("mobilenet_v2", groups=(16,), output=tmp_path / "wire.json")
    assert wire.counted == [] and list(tmp_path.iterdir()) == []
