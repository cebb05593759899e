"""What is measured on the wire is the closed form, to the byte."""

import sys
from collections import Counter

import pytest
import torch
import torch.distributed as dist
from parallel.networks import Case, backward, batch
from parallel.ranks import run_on_ranks

from gc2l.nn import GroupConv2d
from gc2l.parallel import layer_shapes, make_mesh, network_traffic, parallel_variants, parallelize, record_traffic
from gc2l.variants import VARIANTS, Variant

CASES = [
    Case("sc", 1),
    *(Case(variant, groups) for variant in ("gc", "gc2l", "shuffle", "flgc") for groups in (4, 8)),
    Case("gc2l", 4, coarse_channels=2),
    Case("gc2l", 4, overlap=False),
    Case("gc2l", 4, network="mobilenet"),
    Case("sc", 1, network="mobilenet"),
]


def _measured_and_predicted(channels: int) -> dict[str, tuple[Counter, Counter]]:
    mesh = make_mesh(channels)
    found = {}
    for case in CASES:
        network = case.build()
        images, labels = batch(0, size=33 if case.network == "mobilenet" else 9)
        shapes = layer_shapes(network.eval(), images)
        rank = mesh["channel"].get_local_rank()
        predicted = network_traffic(shapes, ranks=channels, images=len(images), element=8, rank=rank)
        parallelize(network.train(), mesh, overlap=case.overlap)
        with record_traffic() as measured:
            backward(network, images, labels)
        found[str(case)] = Counter(measured), Counter(predicted)
    return found


def _total_refused() -> str:
    with record_traffic(), pytest.raises(RuntimeError) as caught:
        dist.broadcast(torch.zeros(1), src=0)
    return str(caught.value)


def _everything() -> dict:
    found = {channels: _measured_and_predicted(channels) for channels in (2, 4)}
    return {**found, "refused": _total_refused()}


@pytest.fixture(scope="module")
def found():
    return run_on_ranks(_everything, 4)


def test_measured_is_predicted_to_the_byte(found):
    for rank in found:
        for channels in (2, 4):
            for case in CASES:
                measured, predicted = rank[channels][str(case)]
                assert measured == predicted, (case, channels)
                convolutions = sum(traffic.layer.startswith(("stages", "features")) for traffic in predicted)
                assert (convolutions == 0) == (case.variant == "gc")


def test_no_gradient_of_a_weight_travels(found):
    for rank in found:
        measured, _ = rank[4]["cifar-gc2l-n4"]
        backward_traffic = [t for t in measured if t.direction == "backward"]
        # one reduce-scatter of z for each of the 6 convolutions and 2 shortcuts
        assert sum(measured[t] for t in backward_traffic) == 8
        assert {t.collective for t in backward_traffic} == {"reduce_scatter"}


class Stranger(GroupConv2d):
    """A variant without a channel-parallel form."""


def test_a_variant_without_a_channel_parallel_form_is_named_and_left_out(monkeypatch):
    network = Case("gc", 4).build()
    network.stages[1][0].conv2 = Stranger(32, 32, 3, padding=1, groups=4, dtype=torch.float64)
    with pytest.raises(
        TypeError, match=r"layer 'stages\.1\.0\.conv2' is a Stranger, which has no channel-parallel form"
    ):
        layer_shapes(network, batch(0)[0])
    before = parallel_variants()
    entry = Variant(label="Stranger", layer=f"{__name__}:Stranger")
    monkeypatch.setattr(sys.modules["gc2l.parallel.parallelize"], "VARIANTS", VARIANTS | {"stranger": entry})
    assert parallel_variants() == before


def test_a_collective_that_would_go_uncounted_is_refused(found):
    assert "torch.distributed.broadcast" in found[0]["refused"]
