"""An input that is not the layer's is refused, as `torch.nn.Conv2d` refuses it, by whatever computes the layer."""

import pytest
import torch
from nn.layers import make_layer

from gc2l.ops.cpu.loader import layer_of
from gc2l.ops.functional import GROUP_WAYS, TWO_LEVEL_WAYS
from gc2l.ops.geometry import Geometry
from gc2l.variants import VARIANTS

CHANNELS, GROUPS = 64, 4
WAYS = {"gc": GROUP_WAYS, "shuffle": GROUP_WAYS, "gc2l": TWO_LEVEL_WAYS}
CASES = [
    (variant, way, kernel)
    for variant in VARIANTS
    for way in ("auto", *WAYS.get(variant, ()))
    for kernel in (1, 3)
    if way != "triton" and (kernel == 1 or variant == "gc2l" or way != "matmul")  # "matmul" of GC is for 1 x 1 kernels
]


def case_layer(variant, way, kernel, dtype=torch.float32, **options):
    options |= {} if way == "auto" else {"algorithm": way}
    return make_layer(variant, CHANNELS, CHANNELS, kernel, groups=GROUPS, padding=kernel // 2, dtype=dtype, **options)


@pytest.mark.parametrize(("variant", "way", "kernel"), CASES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_another_number_of_channels(variant, way, kernel, memory_format):
    # C reads as many channels as it is told of, also those of other memory.
    refuses(case_layer(variant, way, kernel), memory_format)


def test_another_number_of_channels_of_a_layer_with_an_overlap():
    for way in ("auto", "folded"):
        refuses(case_layer("gc2l", way, 3, overlap=0.5), torch.channels_last)


def refuses(layer, memory_format):
    for channels in (CHANNELS // 2, CHANNELS - 1, CHANNELS + 1, CHANNELS + 16, 2 * CHANNELS, 4 * CHANNELS):
        with pytest.raises(RuntimeError):
            layer(torch.randn(4, channels, 8, 8).contiguous(memory_format=memory_format))


@pytest.mark.parametrize(("variant", "way", "kernel"), CASES)
@pytest.mark.parametrize(
    ("of_x", "of_weights"),
    [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32), (torch.float32, torch.float64)],
    ids=str,
)
def test_another_type(variant, way, kernel, of_x, of_weights):
    x = torch.randn(4, CHANNELS, 8, 8, dtype=of_x).contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError):
        case_layer(variant, way, kernel, dtype=of_weights)(x)


def test_what_c_gets_is_checked_at_its_door():
    geometry, filters = Geometry(groups=GROUPS, padding=(1, 1)), torch.zeros(CHANNELS, CHANNELS // GROUPS, 3, 3)
    assert layer_of(torch.zeros(1, CHANNELS, 8, 8), filters, geometry, 4).c_in == CHANNELS
    with pytest.raises(RuntimeError, match=r"x has 63 channels, filters \(64, 16, 3, 3\) in 4 groups are for 64"):
        layer_of(torch.zeros(1, 63, 8, 8), filters, geometry, 4)


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        ((8, 8, 1, 1), (8,), r"weight has shape \(8, 8, 1, 1\); of this layer it must be \(8, 8, 3, 3\)"),
        ((8, 8, 1, 3), None, "weight has shape"),
        ((8, 1, 3, 3), None, "weight has shape"),
        ((8, 4, 3, 3), None, "weight has shape"),
        ((1, 8, 3, 3), None, "weight has shape"),
        ((16, 8, 3, 3), None, "weight has shape"),
        ((8, 8, 3, 3), (1,), r"bias has shape \(1,\); of this layer it must be \(8,\)"),
    ],
)
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "flgc"])
def test_nearest_weights_to_those_of_another_layer(variant, weight, bias, message):
    layer = make_layer(variant, 8, 8, 3, groups=2)
    before = [value.clone() for value in layer.state_dict().values()]
    weight = torch.ones(weight, dtype=torch.float64)
    with pytest.raises(ValueError, match=f"^{message}"):
        layer.set_nearest(weight, None if bias is None else torch.ones(bias, dtype=torch.float64))
    assert all(map(torch.equal, layer.state_dict().values(), before))
