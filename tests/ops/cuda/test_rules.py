"""What "auto" takes on a CUDA card, in eager and in compiled code, without a card."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from gc2l.nn import GroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d
from gc2l.ops import choose
from gc2l.ops.choose import TABLES, Case, decide
from gc2l.ops.cuda import on_card
from gc2l.ops.functional import GROUP_WAYS, TWO_LEVEL_WAYS
from gc2l.ops.geometry import Geometry
from gc2l.ops.transforms import compiles_for_card

WAYS = {"group": GROUP_WAYS, "two_level": TWO_LEVEL_WAYS}
BFLOAT16 = "bfloat16 on CUDA"
RESULTS = Path(__file__).resolve().parents[3] / "results" / "bench"


def case(channels, groups, size, kernel=3, last=True):
    geometry = Geometry(padding=(kernel // 2, kernel // 2), groups=groups)
    image, filters = (128, channels, size, size), (channels, channels // groups, kernel, kernel)
    return Case(image, filters, geometry, coarse_channels=groups, channels_last=last)


def measured():
    """Milliseconds, forward + backward, of every way of each layer and memory format: WRN-28-10 on an H200."""
    names = {"group": "grouped", "group_folded": "folded"}
    layers = defaultdict(lambda: defaultdict(dict))
    for row in json.loads((RESULTS / "h200-layers.json").read_text(encoding="utf-8"))["rows"]:
        if row["kind"] != "layer":
            continue
        layer = layers[row["c"], row["n"], row["hw"], row["last"]]
        operator = "two_level" if row["name"].startswith("gc2l") else "group"
        way = names.get(row["name"], row["name"].removeprefix("gc2l_"))
        layer[operator][way] = layer["dense"][way] = 1000 * row["both"]
    return layers


@pytest.mark.parametrize("operator", ["group", "two_level"])
def test_a_way_is_chosen_that_was_measured_to_be_fast(operator):
    for (channels, groups, size, last), found in measured().items():
        way = decide(operator, BFLOAT16, case(channels, groups, size, last=last))
        ways = {name: time for name, time in found[operator].items() if name in WAYS[operator]}
        # Folding took a dozen kernels when this was measured, 0.15 to 0.5 ms a layer; it is one now. Channels first,
        # where it was not measured, it takes what the dense convolution takes, and that kernel.
        time = found["dense"]["dense"] + 0.1 if way == "folded" else ways[way]
        assert time <= 1.1 * min(ways.values()), (operator, channels, groups, last, way)


def test_what_was_not_measured_is_the_framework_s():
    assert decide("group", BFLOAT16, case(64, 64, 32)) is None  # depthwise
    assert decide("two_level", BFLOAT16, case(1024, 16, 8)) is None
    assert decide("two_level", BFLOAT16, case(320, 32, 8)) is None
    assert decide("two_level", BFLOAT16, case(320, 16, 8, kernel=1)) == "folded"
    assert "float32 on CUDA" not in TABLES


def test_no_rule_takes_kernels_that_no_card_has_timed():
    ways = {row.way for table in (BFLOAT16, "float16 on CUDA") for rows in TABLES[table].values() for row in rows}
    timed = any("triton" in path.read_text(encoding="utf-8") for path in RESULTS.glob("*cuda*.json"))
    assert "triton" not in ways or timed


class OnCard:
    """As much of a tensor as names its table."""

    def __init__(self, dtype):
        self.dtype, self.device = dtype, torch.device("cuda")


def test_tables_by_device_and_type(monkeypatch):
    half, single = OnCard(torch.float16), OnCard(torch.float32)
    assert choose._table_of(half, half) == "float16 on CUDA"
    assert choose._table_of(single, single) == choose._table_of(half, single) == ""
    # Autocast itself does not start without a card.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda")
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.bfloat16)
    assert choose._table_of(single, single) == BFLOAT16


@pytest.fixture
def compiled_as_on_a_card(monkeypatch):
    """`torch.compile` takes CPU tensors for ones on a card."""

    def compiles(x):
        return torch.compiler.is_compiling() and not torch.compiler.is_exporting()

    monkeypatch.setattr(choose, "compiles_for_card", compiles)
    monkeypatch.setattr(on_card, "compiles_for_card", compiles)
    for dtype in (torch.float32, torch.float16):
        monkeypatch.setitem(choose._TABLE_NAMES, ("cpu", dtype), BFLOAT16)
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
@pytest.mark.parametrize("algorithm", ["auto", "triton"])
@pytest.mark.parametrize("cls", [GroupConv2d, TwoLevelGroupConv2d, ShuffleGroupConv2d])
def test_compiled_layers_are_folded_or_one_operator(cls, algorithm, compiled_as_on_a_card):
    layer = cls(16, 16, 3, padding=1, groups=4, algorithm=algorithm)
    last = algorithm == "auto"
    x = torch.randn(2, 16, 6, 6).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    x.requires_grad_()
    called = []

    def backend(graph, inputs):
        called.extend(node for node in graph.graph.nodes if node.op == "call_function")
        return graph

    torch.compile(layer, backend=backend, fullgraph=True)(x)
    names = [str(node.target) for node in called]
    ours = [name for name in names if name.startswith("gc2l.")]
    convolutions = [node for node in called if "conv2d" in str(node.target)]
    if algorithm == "auto":
        assert not ours and [node.args[6] for node in convolutions] == [1]
    else:
        name = "two_level_conv" if cls is TwoLevelGroupConv2d else "group_conv"
        assert ours == [f"gc2l.{name}.default"] and not convolutions
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    y, wanted = compiled(x), layer(x)
    assert y.is_contiguous(memory_format=torch.channels_last) is last
    tensors = [x, *layer.parameters()]
    gradient = torch.randn_like(y)
    for one, other in zip(
        (y, *torch.autograd.grad(y, tensors, gradient)),
        (wanted, *torch.autograd.grad(wanted, tensors, gradient)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
@pytest.mark.parametrize("algorithm", ["auto", "triton"])
def test_compiled_under_autocast(algorithm, compiled_as_on_a_card):
    layer = TwoLevelGroupConv2d(16, 16, 3, padding=1, groups=4, algorithm=algorithm)
    x = torch.randn(2, 16, 6, 6)
    with torch.autocast("cpu", torch.float16):
        y = torch.compile(layer, backend="aot_eager", fullgraph=True)(x)
    assert y.dtype is torch.float16
    torch.testing.assert_close(y.float(), layer(x), rtol=1e-2, atol=1e-2)


def test_no_card_no_export_and_no_transform_is_compiled_for_a_card():
    seen = []

    def look(x):
        seen.append(compiles_for_card(x))
        return x + 1

    torch.compile(look, backend="eager")(torch.zeros(1))
    look(torch.zeros(1))
    assert not any(seen)
    assert not compiles_for_card(OnCard(torch.float32))
