"""What the benchmark counts, against closed forms."""

import gc
import weakref

import pytest
import torch
from torch import nn

from gc2l.bench.layers import FRAMEWORK, measure_layer, network_layers
from gc2l.bench.loops import BARE, PLAIN, SUITE
from gc2l.bench.report import layer_table, loop_table, step_table, targets
from gc2l.bench.roofline import draw_roofline, layer_work
from gc2l.bench.steps import kept_bytes, make_network, step_flops
from gc2l.nn import TwoLevelGroupConv2d


def test_layers_of_a_wide_residual_network():
    """WRN-28-10: the first unit of each stage has two shapes of its own and a shortcut; the stem is not counted."""
    layers = network_layers("wide_resnet_28_10", 32)
    assert sum(layer.count for layer in layers) == 24 + 3
    found = {(layer.c_in, layer.c_out, layer.kernel, layer.stride, layer.size): layer.count for layer in layers}
    assert found[16, 160, 3, 1, 32] == found[160, 320, 3, 2, 32] == found[320, 640, 1, 2, 16] == 1
    assert found[160, 160, 3, 1, 32] == found[320, 320, 3, 1, 16] == found[640, 640, 3, 1, 8] == 7
    # 5.2 billion multiplications an image, of which stem and classifier have half a million.
    assert sum(layer.products * layer.count for layer in layers) == pytest.approx(5.24e9, rel=0.01)
    assert step_flops("wide_resnet_28_10", 32) == pytest.approx(6 * 5.24e9, rel=0.01)


def test_operations_and_bytes_of_a_layer():
    row = {"c_in": 4, "c_out": 8, "kernel": 3, "stride": 2, "size": 6, "groups": 2, "images": 5}
    sc, gc, gc2l = (layer_work(row | {"candidate": name}) for name in ("SC", "GC", "GC-2L"))
    pixels, weights = 5 * 3 * 3, 9 * 4 * 8
    assert sc == (6 * weights * pixels, 12 * (5 * 36 * 4 + pixels * 8 + weights))
    assert gc[0] == sc[0] / 2
    assert gc2l[0] == 6 * pixels * (weights / 2 + 9 * 4 + 2 * 8)


def test_kept_bytes_of_a_relu_after_a_convolution():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU())
    x = torch.randn(4, 2, 5, 5)
    assert kept_bytes(network, x) == 4 * (x.numel() + 4 * 3 * 25)


def test_counting_kept_bytes_keeps_nothing():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
    alive = weakref.ref(network[0].weight)
    kept_bytes(network, torch.randn(4, 2, 5, 5))
    del network
    gc.collect()
    assert alive() is None


def test_labels_prescribe_algorithms():
    found = {
        label: {
            layer.algorithm for layer in make_network("wide_resnet_10_4", label, 4).modules() if is_two_level(layer)
        }
        for label in ("GC-2L", "GC-2L separate", "GC")
    }
    assert found == {"GC-2L": {"auto"}, "GC-2L separate": {"separate"}, "GC": set()}


def is_two_level(layer):
    return isinstance(layer, TwoLevelGroupConv2d)


def test_tables_and_targets():
    shape = network_layers("wide_resnet_10_4", 32)[-1]
    layers = [
        {"network": "wide_resnet_28_10", **row}
        for row in measure_layer(shape, 4, images=1, channels_last=True, rounds=2, algorithms=["folded"])
    ]
    assert {row["candidate"] for row in layers} == {FRAMEWORK, "SC", "GC", "Shuffle", "GC-2L", "GC-2L folded"}
    assert "GC-2L folded" in layer_table(layers, "layers")
    assert draw_roofline(layers, 1e11, 1e10).axes
    numbers = {"low": 1.0, "high": 2.0, "images_per_second": 3.0}
    where = {"groups": 4, "pass": "training step", "channels_last": True, "compile": False, "kept_bytes": 2**20}
    steps = [
        {**where, **numbers, "images": images, "network": "wide_resnet_28_10", "candidate": name, "median": value}
        for images, sc in ((16, 3.0), (64, 2.0))
        for name, value in (("GC", 1.0), ("GC-2L", 1.2 * images / 16), ("SC", sc))
    ]
    loops = [
        {**numbers, "network": "wide_resnet_10_4", "candidate": name, "median": value}
        for name, value in ((SUITE, 1.0), (PLAIN, 2.5), (BARE, 0.9))
    ]
    assert "1.20" in step_table(steps, "steps") and "2.500" in loop_table(loops, "loops")
    verdicts = {
        line.split("  ")[0]: line.rsplit("  ", 1)[1].strip() for line in targets(layers, steps, loops).split("\n")[3:-1]
    }
    assert verdicts["GC-2L / GC, wide_resnet_28_10 step of 16 images, eager, n = 4"] == "MISSED"
    assert verdicts["GC-2L / SC, wide_resnet_28_10 step of 16 images, eager, n = 4"] == "met"
    # 4.8 / 2: each batch size has its own two runs.
    assert verdicts["GC-2L / SC, wide_resnet_28_10 step of 64 images, eager, n = 4"] == "MISSED"
    assert verdicts["plain loop / gc2l, wide_resnet_10_4"] == "met"
    assert verdicts["Lightning / bare loop, wide_resnet_10_4"] == "MISSED"
