import pytest
import torch
from analysis.claims_evidence import column, evidence, only
from pytest import approx

from gc2l.analysis.claims import Deviation, Verdict
from gc2l.evidence import exact
from gc2l.evidence.exact import measure_deviations
from gc2l.models import paper_parameter_counts
from gc2l.nn import TwoLevelGroupConv2d
from gc2l.paper import reported_rows


@pytest.fixture(scope="module")
def counts():
    return {row: count.total for row, count in paper_parameter_counts(reported_rows("table1")).items()}


def test_a3_holds_for_the_real_networks(counts):
    finding = only("A3", evidence(column(), [], parameters=counts))
    assert finding.verdict is Verdict.REPRODUCED
    assert [part.effect for part in finding.parts] == [approx(10.3), approx(0.5)]
    assert "2,539,994 and 2,303,194" in finding.parts[0].note


def test_a3_fails_for_a_coarse_level_with_two_channels(counts):
    extra = counts["wide_resnet_28_10", "gc2l", 16] - counts["wide_resnet_28_10", "gc", 16]
    doubled = counts | {("wide_resnet_28_10", "gc2l", 16): counts["wide_resnet_28_10", "gc", 16] + 2 * extra}
    finding = only("A3", evidence(column(), [], parameters=doubled))
    assert [part.verdict.value for part in finding.parts] == ["contradicted", "reproduced"]
    assert finding.verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize(("claim", "parts"), [("A5", 2), ("B4", 1)])
def test_the_real_layers_are_equal_within_rounding(claim, parts):
    finding = only(claim, evidence(column(), [], deviations=measure_deviations()))
    assert finding.verdict is Verdict.REPRODUCED
    assert len(finding.parts) == parts
    assert finding.scale is None


def test_measuring_leaves_the_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    measure_deviations()
    assert torch.equal(torch.rand(3), expected)


def test_a_coarse_level_that_is_not_zero_is_no_group_convolution(monkeypatch):
    wrong = TwoLevelGroupConv2d.forward

    def forward(self, x):
        self.coarse_weight.fill_(1e-9)
        return wrong(self, x)

    monkeypatch.setattr(exact.TwoLevelGroupConv2d, "forward", forward)
    finding = only("A5", evidence(column(), [], deviations=measure_deviations()))
    assert [part.verdict.value for part in finding.parts] == ["reproduced", "contradicted"]
    assert finding.verdict is Verdict.CONTRADICTED


def test_one_layer_that_deviates_by_more_than_rounding_contradicts(monkeypatch):
    def compute(x, groups, kernel):
        return (x * (1 + 1e-12) if (groups, kernel) == (4, (1, 2, 0)) else x), x

    monkeypatch.setattr(exact, "fused_and_separate", compute)
    assert only("B4", evidence(column(), [], deviations=measure_deviations())).verdict is Verdict.CONTRADICTED


def test_one_deviation_beyond_rounding_contradicts():
    pair = (Deviation(name="good", value=0.0, tolerance=1e-13), Deviation(name="bad", value=1e-7, tolerance=1e-13))
    assert only("B4", evidence(column(), [], deviations={"B4": pair})).verdict is Verdict.CONTRADICTED
