import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gc2l.cells import ModelConfig
from gc2l.models import build_model, count_parameters, paper_network, paper_parameter_counts, wide_resnet_cifar
from gc2l.nn import LearnableGroupConv2d, make_conv
from gc2l.paper import PARAMETER_DECIMALS, TABLES, reported_rows

ROWS = list(
    {
        (table, row.network, row.variant, row.groups): (table, row) for table in TABLES for row in reported_rows(table)
    }.values()
)


def test_there_are_72_rows():
    assert len(ROWS) == 72


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{t}-{r.network}-{r.variant}-{r.groups}" for t, r in ROWS])
def test_every_printed_count_is_met_at_its_digits(table, row):
    (count,) = paper_parameter_counts([row]).values()
    assert round(count.total / 1e6, PARAMETER_DECIMALS[table]) == row.parameters_millions


# The four-digit totals of WideResNet-28-10 for ten classes, in millions.
@pytest.mark.parametrize(
    ("variant", "millions"),
    [
        ("gc", {1: 36.4792, 2: 18.2520, 4: 9.1384, 8: 4.5816, 16: 2.3032}),
        ("gc2l", {2: 18.3477, 4: 9.2542, 8: 4.7378, 16: 2.5400}),
    ],
)
def test_exact_totals_of_wide_resnet_28_10(variant, millions):
    for groups, expected in millions.items():
        with torch.device("meta"):
            network = wide_resnet_cifar(28, 10, variant, groups)
        assert round(count_parameters(network, groups).total / 1e6, 4) == expected


def test_learnable_groups_count_nominally_and_everything_else_by_its_tensors():
    network = nn.Sequential(LearnableGroupConv2d(8, 12, 3, groups=4), nn.BatchNorm2d(12), nn.Linear(12, 5))
    count = count_parameters(network, groups=4)
    assert count.total == 9 * 8 * 12 // 4 + 12 + 2 * 12 + 12 * 5 + 5
    assert count.per_processor == -(-(count.total - 5) // 4) + 5


def test_what_is_shared_counts_once():
    shared = nn.Conv2d(4, 4, 1)
    assert count_parameters(nn.Sequential(shared, shared), groups=1).total == 20


def test_one_processor_holds_what_the_paper_says():
    """k^2 c_in c_out / n^2 + k^2 c_in / n + c_out for GC-2L (section 3.2); the classifier's bias is not split."""
    network = nn.Sequential(make_conv("gc2l", 8, 16, 3, groups=4, bias=False), nn.Linear(16, 5))
    count = count_parameters(network, groups=4)
    assert count.per_processor == (9 * 8 * 16 // 16 + 9 * 8 // 4 + 16) + (16 * 5 // 4 + 5)
    assert count_parameters(nn.Linear(3, 1, bias=False), groups=2).per_processor == 2  # rounded up


def test_at_least_one_processor():
    with pytest.raises(ValueError, match="groups=0"):
        count_parameters(nn.Linear(2, 2), groups=0)


def test_one_processor_holds_everything():
    count = count_parameters(wide_resnet_cifar(10, 1), groups=1)
    assert count.per_processor == count.total


def test_names_and_configurations():
    assert paper_network("wide_resnet_28_60", "gc2l", 4) == ModelConfig(depth=28, width=60, variant="gc2l", groups=4)
    assert paper_network("wide_resnet_34_2", "sc", 1).network == "wide_resnet_imagenet"
    with pytest.raises(ValueError, match="resnet50"):
        paper_network("resnet50", "sc", 1)
    with pytest.raises(ValueError, match=r"widen_factor=0.7 "):
        build_model(ModelConfig(depth=10, width=0.7), 10)
    with torch.device("meta"):
        assert (
            build_model(ModelConfig(network="mobilenet_v2", depth=None, width=0.25), 7).classifier[1].out_features == 7
        )


@pytest.mark.parametrize("wrong", [False, True])
def test_the_script_says_72_of_72_and_fails_on_a_wrong_count(wrong, monkeypatch, capsys):
    experiments = str(Path(__file__).parents[2] / "experiments")
    monkeypatch.syspath_prepend(experiments)
    monkeypatch.delitem(sys.modules, "params", raising=False)
    import params  # noqa: PLC0415

    if wrong:
        monkeypatch.setitem(PARAMETER_DECIMALS, "table4", 4)  # 3.5049 is not printed
    status = params.main()
    last = capsys.readouterr().out.splitlines()[-1]
    assert (status, last) == ((1, "59 of 72") if wrong else (0, "72 of 72"))
