import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from gc2l.analysis import mean_interval, paired_difference
from gc2l.analysis.claims.verdict import (
    Claimed,
    Part,
    Verdict,
    combine,
    decide,
    decide_exactly,
    holm,
    holm_of,
    p_against,
)

BELOW = Claimed("<", 0)
samples = st.lists(st.integers(-40, 40), min_size=3, max_size=6).filter(lambda values: len(set(values)) > 1)


def part(verdict, p=None):
    return Part(name="a part", verdict=verdict, claimed=BELOW, unit="points", effect=1.0, p_against=p)


def test_paired_t_by_hand():
    # Differences -1.0, -1.2, -1.4: mean -1.2, standard deviation 0.2; t with 2 degrees of freedom is 4.302653.
    effect = paired_difference([4.0, 4.8, 3.6], [5.0, 6.0, 5.0])
    half = 4.302653 * 0.2 / 3**0.5
    assert (effect.interval.low, effect.interval.high) == approx((-1.2 - half, -1.2 + half))
    assert decide(effect, BELOW) is Verdict.REPRODUCED
    assert decide(effect, Claimed(">", 0)) is Verdict.CONTRADICTED
    # The interval ends at -0.703.
    assert decide(effect, Claimed("<", -0.70)) is Verdict.REPRODUCED
    assert decide(effect, Claimed("<", -0.71)) is Verdict.INCONCLUSIVE
    # t = 1.2 / 0.11547 = 10.39; with 2 degrees of freedom the upper tail is (1 - t / sqrt(2 + t^2)) / 2.
    t = 1.2 / (0.2 / 3**0.5)
    assert p_against(effect, Claimed(">", 0)) == approx((1 - t / (2 + t * t) ** 0.5) / 2)


@pytest.mark.parametrize("values", [[-1.0], [-1.0, -1.01], [-1.0, -1.0, -1.0]])
def test_too_few_seeds_or_no_spread_is_inconclusive(values):
    assert decide(mean_interval(values), BELOW) is Verdict.INCONCLUSIVE


def test_no_spread_means_none_but_rounding():
    # 0.3 - 0.1 and 0.2 - 0 differ in their last bit.
    effect = paired_difference([0.1, 0.0, 0.0], [0.3, 0.2, 0.2])
    assert decide(effect, BELOW) is Verdict.INCONCLUSIVE
    assert p_against(effect, BELOW) is None


def test_the_bound_itself_belongs_to_the_relations_with_equality():
    for relation, verdict in (("<=", "reproduced"), (">=", "reproduced"), ("<", "contradicted"), (">", "contradicted")):
        assert decide_exactly(0.5, Claimed(relation, 0.5)) == verdict


@given(samples, st.sampled_from(["<", ">", "<=", ">="]))
def test_p_value_and_interval_agree(values, relation):
    effect, claimed = mean_interval(values), Claimed(relation, 1)
    assert (p_against(effect, claimed) < 0.025) == (decide(effect, claimed) is Verdict.CONTRADICTED)


@given(samples)
def test_turning_claim_or_numbers_around_turns_the_verdict_around(values):
    effect, mirrored = mean_interval(values), mean_interval([-value for value in values])
    turned = {Verdict.REPRODUCED: Verdict.CONTRADICTED, Verdict.CONTRADICTED: Verdict.REPRODUCED}
    verdict = decide(effect, BELOW)
    assert decide(mirrored, BELOW) is turned.get(verdict, verdict)
    assert decide(mirrored, Claimed(">", 0)) is verdict


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling: 0.04, 0.06, 0.06, 0.06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_claim_is_reproduced_only_by_all_its_parts():
    good = part(Verdict.REPRODUCED, 1.0)
    assert combine([good, good]) is Verdict.REPRODUCED
    for other in (Verdict.INCONCLUSIVE, Verdict.NOT_YET_TESTED):
        assert combine([good, part(other)]) is Verdict.INCONCLUSIVE
    assert combine([part(Verdict.NOT_YET_TESTED)]) is Verdict.NOT_YET_TESTED
    with pytest.raises(ValueError, match="parts is empty"):
        combine([])


def test_a_claim_is_contradicted_by_one_part_that_survives_holm():
    good, bad = part(Verdict.REPRODUCED, 0.99), part(Verdict.CONTRADICTED, 0.02)
    assert combine([bad]) is Verdict.CONTRADICTED
    assert combine([good, bad]) is Verdict.INCONCLUSIVE
    assert combine([good, good, good, part(Verdict.CONTRADICTED, 0.006)]) is Verdict.CONTRADICTED
    # What chance plays no part in needs no correction.
    assert combine([good, part(Verdict.CONTRADICTED)]) is Verdict.CONTRADICTED


@pytest.mark.parametrize("other", [part(Verdict.NOT_YET_TESTED), part(Verdict.INCONCLUSIVE)])
def test_parts_without_a_p_value_stay_in_the_family(other):
    bad = part(Verdict.CONTRADICTED, 0.007)
    # 0.007 times 3 is below 0.025, times 4 it is not: as with tested parts whose p value is 1.
    assert combine([bad, other, other]) is Verdict.CONTRADICTED
    assert combine([bad, other, other, other]) is Verdict.INCONCLUSIVE
    tested = part(other.verdict, 1.0)
    assert holm_of([bad, other, other, other]) == [approx(0.028), None, None, None]
    assert holm_of([bad, tested, tested, tested])[0] == approx(0.028)
    assert holm_of([other, other]) == [None, None]
