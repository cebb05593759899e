"""The table of rules is well-formed, and every branch that depends on the machine is taken on any machine."""

import copy
import csv
import math
from pathlib import Path

import pytest
import torch
from nn.layers import make_layer, random_input
from torch.func import vmap

from gc2l.nn import GroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d
from gc2l.ops import choose
from gc2l.ops.choose import TABLES, Case, Rule, at_least, at_most, decide, rule
from gc2l.ops.cpu import coarse_level, compiled, framework, loader, matrix_units
from gc2l.ops.functional import GROUP_WAYS, TWO_LEVEL_WAYS
from gc2l.ops.geometry import Geometry

WAYS = {
    "dense": {"matmul"},
    "group": set(GROUP_WAYS),
    "shuffle": set(GROUP_WAYS),
    "two_level": set(TWO_LEVEL_WAYS),
    "two_steps": {"two_steps"},
}
ROOT = Path(__file__).parents[2]
ROWS = [(table, operator, row) for table, rules in TABLES.items() for operator, rows in rules.items() for row in rows]
FLOAT32 = "float32 on a CPU"
CLASSES = (GroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d)
LAYER = Case((8, 160, 8, 8), (160, 20, 3, 3), Geometry(padding=(1, 1), groups=8), coarse_channels=8)


def fake(monkeypatch, *, amx=False, library=False):
    monkeypatch.setattr(matrix_units, "available", lambda: amx)
    monkeypatch.setattr(compiled, "library", lambda: object() if library else None)


def image(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype).to(memory_format=torch.channels_last)


@pytest.mark.parametrize(("table", "operator", "row"), ROWS)
def test_every_row_names_a_way_and_known_facts(table, operator, row):
    assert row.way in WAYS[operator]
    facts = LAYER.facts()
    for name, wanted in row.when.items():
        assert isinstance(wanted, bool) == isinstance(facts[name], bool), name
        assert isinstance(wanted, bool) or wanted[0] <= wanted[1], name


def test_the_first_rule_within_whose_bounds_the_facts_are_decides(monkeypatch):
    rows = (rule("folded", groups=(2, 4), strided=False), rule("matmul", groups=at_least(4)), rule("fused"))
    monkeypatch.setitem(TABLES, "test", {"two_level": rows, "group": (rule("folded", groups=at_most(2)),)})

    def decided(groups, stride=1, operator="two_level"):
        return decide(operator, "test", LAYER._replace(geometry=Geometry(stride=(1, stride), groups=groups)))

    assert [decided(n) for n in (1, 2, 4, 5)] == ["fused", "folded", "folded", "matmul"]
    assert [decided(n, 2) for n in (2, 4)] == ["fused", "matmul"]
    assert [decided(n, operator="group") for n in (2, 3)] == ["folded", None]
    assert not Rule("folded", {"gradients": True}).holds({"gradients": False})


@pytest.mark.parametrize("way", sorted(set(TWO_LEVEL_WAYS) - {"triton"}))
def test_some_layer_is_computed_in_each_way(way):
    cases = [
        LAYER._replace(image=(8, c, 8, 8), filters=(c, c // n, k, k), geometry=geometry, channels_last=last)
        for c in (32, 160, 640)
        for n in (2, 4, 8, 16)
        for k in (1, 3)
        for stride in (1, 2)
        for last in (False, True)
        for geometry in [Geometry((stride, stride), (k // 2, k // 2), groups=n)]
    ]
    assert way in {decide("two_level", FLOAT32, case._replace(compiled=c)) for case in cases for c in (False, True)}


@pytest.mark.parametrize(("cls", "groups"), [(GroupConv2d, 8), (TwoLevelGroupConv2d, 8), (TwoLevelGroupConv2d, 2)])
def test_the_compiled_kernel_is_chosen_where_there_is_one_and_it_pays(cls, groups, monkeypatch):
    x = image(8, 160, 8, 8)

    def chosen(x=x, **given):
        return cls(160, 160, **{"kernel_size": 3, "groups": groups, "padding": 1} | given).chosen_algorithm(x)

    fake(monkeypatch)
    assert chosen() != "direct"
    fake(monkeypatch, library=True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert chosen() == "direct"
    # Another geometry, half of a group's channels too many, images too large or too few, too many coarse channels.
    assert "direct" not in [chosen(stride=2), chosen(padding=3), chosen(dilation=2), chosen(kernel_size=5)]
    assert "direct" not in [chosen(groups=1), chosen(x.repeat(1, 1, 8, 8)), chosen(x[:4])]
    if cls is TwoLevelGroupConv2d:
        assert chosen(coarse_channels=9) != "direct"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert chosen(x[:1]) == "direct"


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_matrix_units_are_used_in_bfloat16_where_there_are_any(autocast, amx, monkeypatch):
    fake(monkeypatch, amx=amx)
    dtype = torch.float32 if autocast else torch.bfloat16
    layer = TwoLevelGroupConv2d(160, 160, 3, groups=8, dtype=dtype)
    depthwise = GroupConv2d(64, 64, 3, groups=64, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert layer.chosen_algorithm(image(2, 160, 8, 8, dtype=dtype)) == ("dense_restriction" if amx else "separate")
        assert depthwise.chosen_algorithm(image(2, 64, 8, 8, dtype=dtype)) == ("folded" if amx else "grouped")
    assert choose._table_of(image(1, 1, 1, 1), torch.zeros(1)) == FLOAT32
    with torch.autocast("cpu", torch.float16):
        assert layer.chosen_algorithm(image(2, 160, 8, 8, dtype=dtype)) == "separate"


AMX = [
    # c_in, c_out, kernel, stride, size, groups: GC, Shuffle, GC-2L with the compiled passes, without.
    ((16, 160, 3, 1, 32, 2), ("grouped", "folded", "folded", "folded")),
    ((16, 160, 3, 1, 32, 16), ("folded", "folded", "folded", "folded")),
    ((16, 160, 1, 1, 32, 2), ("folded", "folded", "folded", "folded")),
    ((64, 64, 3, 1, 32, 8), ("grouped", "grouped", "folded", "folded")),
    ((160, 160, 3, 1, 32, 2), ("grouped", "grouped", "dense_restriction", "dense_restriction")),
    ((160, 160, 3, 1, 32, 16), ("grouped", "grouped", "dense_restriction", "dense_restriction")),
    ((160, 320, 3, 2, 32, 8), ("grouped", "grouped", "matmul", "separate")),
    ((160, 320, 3, 2, 32, 16), ("grouped", "grouped", "matmul", "dense_restriction")),
    ((320, 640, 1, 2, 16, 2), ("matmul", "matmul", "matmul", "separate")),
    ((320, 320, 3, 1, 16, 2), ("grouped", "grouped", "matmul", "dense_restriction")),
    ((640, 640, 3, 1, 8, 8), ("grouped", "grouped", "matmul", "dense_restriction")),
    ((640, 640, 3, 1, 8, 16), ("grouped", "grouped", "dense_restriction", "dense_restriction")),
    ((96, 576, 1, 1, 14, 8), ("grouped", "folded", "folded", "folded")),
]


@pytest.mark.parametrize(("layer", "expected"), AMX)
def test_rules_for_matrix_units(layer, expected, monkeypatch):
    c_in, c_out, kernel, stride, size, groups = layer
    given = {"stride": stride, "padding": kernel // 2, "groups": groups}
    x, found = image(1, c_in, size, size), []
    for library in (True, False):
        fake(monkeypatch, amx=True, library=library)
        with torch.autocast("cpu", torch.bfloat16):
            names = [cls(c_in, c_out, kernel, **given).chosen_algorithm(x) for cls in CLASSES]
        assert names[:-1] == list(expected[:2])
        found.append(names[-1])
    assert tuple(found) == expected[2:]


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("library", [False, True])
@pytest.mark.parametrize("variant", ["gc", "gc2l", "shuffle"])
def test_layers_are_right_whatever_the_machine_has(variant, library, amx, monkeypatch):
    layer = make_layer(variant, 32, 64, 3, groups=4, padding=1, dtype=torch.float32)
    x = random_input(8, 32, 5, 5, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    expected = copy.deepcopy(layer).double().to_dense()(x.double())
    monkeypatch.setattr(matrix_units, "available", lambda: amx)
    if not library:
        monkeypatch.setattr(compiled, "library", lambda: None)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-4, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        # Folded or not, each of a few roundings is at most eps of the largest sum.
        atol = 4 * torch.finfo(torch.bfloat16).eps * expected.abs().max().item()
        torch.testing.assert_close(layer(x).double(), expected, rtol=0, atol=atol)


def test_only_what_was_measured_is_chosen_by_a_rule(monkeypatch):
    fake(monkeypatch)
    layer = TwoLevelGroupConv2d(160, 160, 3, groups=2)
    x = image(2, 160, 8, 8)
    assert layer.chosen_algorithm(x) == "matmul"
    assert layer.chosen_algorithm(x.to("meta")) == layer.chosen_algorithm(x.double()) == "separate"
    assert layer.chosen_algorithm(x[:0]) == layer.chosen_algorithm(x[0]) == "separate"
    layer.algorithm = "folded"
    assert layer.chosen_algorithm(x) == "folded"


def test_transforms_get_the_formula():
    layer, seen = TwoLevelGroupConv2d(160, 160, 3, groups=2), []

    def chosen(x):
        seen.append(layer.chosen_algorithm(x))
        return x

    vmap(chosen)(image(2, 160, 8, 8)[None])
    assert seen == ["separate"]


def test_the_coarse_level_is_compiled_where_it_can_be(monkeypatch):
    x, weight = image(2, 32, 6, 7), torch.zeros(48, 4, 1, 1)
    fake(monkeypatch, library=True)
    assert coarse_level(x, weight, 4) is compiled
    assert coarse_level(x, weight, 17) is coarse_level(x.double(), weight, 4) is framework
    assert coarse_level(x.contiguous(), weight, 4) is coarse_level(x[:0], weight, 4) is framework
    fake(monkeypatch)
    assert coarse_level(x, weight, 4) is framework


def test_the_two_have_the_same_functions():
    for name in ("restrict", "add_coarse", "split_fused", "coarse_gradients", "fused_gradients", "restrict_backward"):
        assert callable(getattr(compiled, name)) and callable(getattr(framework, name))


@pytest.mark.parametrize(("capability", "found"), [("AVX2", True), ("AVX512", False), ("DEFAULT", True)])
def test_no_library_without_avx_512_or_without_its_file(capability, found, monkeypatch):
    class Spec:
        origin = "/nowhere/library.so" if found else None

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(loader, "find_spec", lambda _: Spec)
    assert loader.library.__wrapped__() is None


def test_facts():
    facts = LAYER._replace(threads=4, channels_last=False).facts()
    assert (facts["own"], facts["fine"], facts["fine_beyond_eights"], facts["fine_beyond_sixteens"]) == (20, 20, 4, 4)
    assert facts["copied"] and facts["padded"] and not facts["strided"] and not facts["pointwise"]
    assert (facts["images_of_a_thread"], facts["numbers_of_an_image"]) == (2, 10240)
    assert LAYER.facts()["images_of_a_thread"] == math.inf


def test_the_rules_for_matrix_units_follow_the_measured_table():
    with (ROOT / "results/bench/amx-layers.csv").open() as file:
        measured = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    ratios = {"chosen": [], "best": [], "before": []}
    for row in measured:
        c_in, c_out, kernel, stride, size, n = (int(row[name]) for name in list(row)[:6])
        if kernel == 1 or c_in not in (16, 160, 320, 640):  # the 3 x 3 layers of WideResNet-28-10
            continue
        geometry = Geometry((stride, stride), (kernel // 2, kernel // 2), groups=n)
        # It was made without compiled passes for bfloat16.
        case = Case((32, c_in, size, size), (c_out, c_in // n, kernel, kernel), geometry, n, compiled=False)
        ratios["chosen"].append(row[decide("two_level", "bfloat16 on a CPU with AMX", case)])
        ratios["best"].append(min(row[name] for name in TWO_LEVEL_WAYS if name in row))
        ratios["before"].append(row["gc2l_auto"])
    mean = {name: math.exp(sum(map(math.log, values)) / len(values)) for name, values in ratios.items()}
    assert len(ratios["best"]) == 24
    assert mean == pytest.approx({"chosen": 1.34, "best": 1.32, "before": 1.63}, abs=0.005)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64], ids=str)
@pytest.mark.parametrize("algorithm", ["auto", *sorted(set(TWO_LEVEL_WAYS) - {"triton"})])
def test_autocast_leaves_alone_what_pytorch_does(algorithm, dtype):
    layer = TwoLevelGroupConv2d(32, 32, 3, groups=4, padding=1, dtype=dtype, algorithm=algorithm)
    x = torch.randn(2, 32, 6, 6, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        found, reference = layer(x), layer.to_dense()(x)
    assert found.dtype == reference.dtype == dtype
    torch.testing.assert_close(found, reference, rtol=1e-4, atol=1e-4)
