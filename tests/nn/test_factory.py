import pytest
import torch
from nn.layers import has_coarse_channels, layer_class, random_input
from oracles import ORACLES

from gc2l.nn import GroupConv2d, make_conv
from gc2l.variants import VARIANTS


def count(layer):
    if hasattr(layer, "nominal_parameter_count"):
        return layer.nominal_parameter_count()
    return sum(parameter.numel() for parameter in layer.parameters())


def conv(variant, *arguments, groups, coarse_channels=1, **further):
    if has_coarse_channels(variant):
        further["coarse_channels"] = coarse_channels
    return make_conv(variant, *arguments, groups=groups, **further)


@pytest.mark.parametrize("coarse_channels", [1, 2, 3])
@pytest.mark.parametrize("groups", [2, 4, 8, 16])
@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3), (5, 2)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_follow_the_formula(variant, kernel_size, groups, coarse_channels):
    groups = 1 if variant == "sc" else groups
    sizes = (32, 48, kernel_size)
    layer = conv(variant, *sizes, groups=groups, coarse_channels=coarse_channels, bias=False)
    expected = ORACLES[variant].count(kernel_size, 32, 48, groups, coarse_channels)
    assert count(layer) == expected
    assert count(conv(variant, *sizes, groups=groups, coarse_channels=coarse_channels)) == expected + 48


def test_parameters_of_a_layer_of_the_paper():
    """3x3, 160 -> 160 channels, 4 groups: 57600 of GC, 1440 of the restrictions, 640 of the coarse level."""
    printed = {"sc": 230_400, "gc": 57_600, "gc2l": 59_680, "shuffle": 57_600, "flgc": 57_600}
    groups = {name: 1 if name == "sc" else 4 for name in printed}
    assert {name: count(conv(name, 160, 160, 3, groups=groups[name], bias=False)) for name in printed} == printed


@pytest.mark.parametrize("variant", VARIANTS)
def test_makes_the_registered_layer_with_the_arguments_given(variant):
    groups = 1 if variant == "sc" else 2
    given = {"stride": (2, 1), "padding": 1, "dilation": (1, 2), "bias": False, "padding_mode": "reflect"}
    layer = conv(variant, 4, 6, (3, 1), groups=groups, coarse_channels=3, dtype=torch.float64, **given)
    assert type(layer) is layer_class(variant)
    assert (layer.in_channels, layer.out_channels, layer.kernel_size, layer.groups) == (4, 6, (3, 1), groups)
    assert (layer.stride, layer.padding, layer.dilation) == ((2, 1), (1, 1), (1, 2))
    assert (layer.bias, layer.padding_mode, layer.weight.dtype) == (None, "reflect", torch.float64)
    assert getattr(layer, "coarse_channels", 3) == 3


@pytest.mark.parametrize("variant", [name for name, v in VARIANTS.items() if v.dense_at_one_group])
def test_one_group_is_the_standard_convolution(variant):
    torch.manual_seed(0)
    standard = GroupConv2d(3, 5, 3, padding=1)
    torch.manual_seed(0)
    layer = conv(variant, 3, 5, 3, groups=1, coarse_channels=2, padding=1)
    assert type(layer) is type(standard) is GroupConv2d
    assert [(name, tuple(p.shape)) for name, p in layer.named_parameters()] == [
        ("weight", (5, 3, 3, 3)),
        ("bias", (5,)),
    ]
    x = random_input(2, 3, 4, 4, dtype=torch.float32)
    assert torch.equal(layer(x), standard(x))


@pytest.mark.parametrize("variant", [name for name, v in VARIANTS.items() if not v.dense_at_one_group])
def test_one_group_keeps_the_layer_of_a_variant_that_learns_its_groups(variant):
    assert type(make_conv(variant, 3, 5, 3, groups=1)) is layer_class(variant)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if hasattr(layer_class(name), "ALGORITHMS")])
def test_one_group_takes_the_algorithms_of_more(variant, groups):
    groups = 1 if variant == "sc" else groups
    for algorithm in layer_class(variant).ALGORITHMS:
        layer = make_conv(variant, 4, 4, 1, groups=groups, algorithm=algorithm)
        layer(torch.ones(1, 4, 2, 2))
        same = groups > 1 or layer.ALGORITHMS == layer_class(variant).ALGORITHMS
        assert layer.algorithm == (algorithm if same else "auto")
    with pytest.raises(ValueError, match=r"^algorithm='quick' is unknown; choose one of 'auto', "):
        make_conv(variant, 4, 4, 1, groups=groups, algorithm="quick")


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if not hasattr(layer_class(name), "ALGORITHMS")])
def test_an_algorithm_of_a_variant_without_a_choice(variant, groups):
    with pytest.raises(TypeError, match="algorithm"):
        make_conv(variant, 4, 4, 1, groups=groups, algorithm="folded")


@pytest.mark.parametrize("variant", [name for name in VARIANTS if has_coarse_channels(name)])
def test_an_overlap_of_one_group_is_refused_as_by_the_layer(variant):
    with pytest.raises(ValueError, match=r"^overlap=0.5 with groups=1 and in_channels=8: .* can be at most 0\.0$"):
        layer_class(variant)(8, 8, 3, groups=1, overlap=0.5)
    with pytest.raises(ValueError, match=r"^overlap=0.5 with groups=1 and in_channels=8: .* can be at most 0\.0$"):
        make_conv(variant, 8, 8, 3, groups=1, overlap=0.5)


def test_unknown_variant():
    with pytest.raises(ValueError) as error:
        make_conv("gc3l", 4, 4, 3, groups=2)
    assert str(error.value) == (
        f"variant='gc3l' is unknown; choose one of {', '.join(repr(name) for name in VARIANTS)}; "
        "did you mean 'gc2l' or 'gc'?"
    )


def test_standard_convolution_with_groups():
    with pytest.raises(ValueError) as error:
        make_conv("sc", 4, 4, 3, groups=2)
    others = ", ".join(repr(name) for name in VARIANTS if name != "sc")
    assert str(error.value) == (
        f"variant='sc' is the standard convolution and has groups=1, got groups=2; for 2 groups choose one of {others}"
    )


@pytest.mark.parametrize("groups", [0, -1])
@pytest.mark.parametrize("variant", VARIANTS)
def test_groups_below_one(variant, groups):
    with pytest.raises(ValueError, match=rf"^groups={groups} must be at least 1$"):
        make_conv(variant, 4, 4, 3, groups=groups)


@pytest.mark.parametrize("variant", [name for name, v in VARIANTS.items() if v.requires_divisible and name != "sc"])
def test_groups_that_do_not_divide_the_channels(variant):
    with pytest.raises(ValueError, match=r"^in_channels=6 is not divisible by groups=4; .* groups can be 1, 2$"):
        make_conv(variant, 6, 8, 3, groups=4)


@pytest.mark.parametrize("variant", [name for name, v in VARIANTS.items() if not v.requires_divisible])
def test_a_variant_that_learns_its_groups_takes_any_number_of_them(variant):
    assert make_conv(variant, 6, 8, 3, groups=5).groups == 5


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if has_coarse_channels(name)])
def test_coarse_channels_below_one(variant, groups):
    with pytest.raises(ValueError, match=r"^coarse_channels=0 must be at least 1; .* use GroupConv2d$"):
        make_conv(variant, 4, 4, 3, groups=groups, coarse_channels=0)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if not has_coarse_channels(name)])
def test_coarse_channels_of_a_variant_without_a_coarse_level(variant, groups):
    groups = 1 if variant == "sc" else groups
    with pytest.raises(TypeError, match="coarse_channels"):
        make_conv(variant, 4, 4, 3, groups=groups, coarse_channels=1)
