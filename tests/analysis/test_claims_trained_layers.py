from analysis.claims_evidence import column, evidence, only, run
from analysis.figure_runs import approximated
from pytest import approx

from gc2l.analysis.claims import Verdict

CIFAR = column()
RECORDS = [run(CIFAR, "sc", 1, seed, 100) for seed in (1, 2, 3)]


def test_a6_needs_measured_networks_of_three_seeds():
    measured = approximated(RECORDS)
    assert only("A6", evidence(CIFAR, RECORDS)).verdict is Verdict.NOT_YET_TESTED
    assert only("A6", evidence(CIFAR, RECORDS, approximations=measured[:8])).verdict is Verdict.INCONCLUSIVE
    assert only("A6", evidence(CIFAR, RECORDS, approximations=measured)).verdict is Verdict.REPRODUCED


def test_a6_has_a_share_at_each_n_and_the_growth_between_them():
    finding = only("A6", evidence(CIFAR, RECORDS, approximations=approximated(RECORDS)))
    assert finding.seeds == (3, 3)
    assert [part.effect for part in finding.parts] == approx([12, 24.95, 12, 12.475, 12, 6.2375, 12])
    assert set(finding.parts[0].runs) == {record.identity for record in RECORDS}
    assert finding.parts[0].name.endswith("restores (5.0 for random weights)")
    # Restored: 11, 12 and 13 % against 5 %; half of the interval is 4.302653 / sqrt(3).
    assert finding.parts[0].note == "trained - random weights: 7.00 (4.52 to 9.48)"
    assert finding.parts[1].name == "n = 4: error of GC - that at n = 2 (25.0 for random weights)"
    assert finding.parts[1].note == "from 49.90 % to 74.85 %"


def test_a6_is_contradicted_by_a_coarse_level_that_does_harm():
    harmful = tuple(one.model_copy(update={"gc2l": one.gc * (1.1 + 0.01 * one.seed)}) for one in approximated(RECORDS))
    finding = only("A6", evidence(CIFAR, RECORDS, approximations=harmful))
    assert finding.verdict is Verdict.CONTRADICTED


def test_a6_leaves_out_what_was_measured_of_other_runs():
    other = [run(CIFAR, "sc", 1, seed, 100) for seed in (7, 8, 9)]
    foreign = [one.model_copy(update={"preset": "other"}) for one in approximated(RECORDS)]
    given = evidence(CIFAR, RECORDS, approximations=(*approximated(other), *foreign))
    assert only("A6", given).verdict is Verdict.NOT_YET_TESTED
