"""How many more seeds would settle a part, against a closed form and against simulated seeds."""

import math

import numpy as np
import pytest
from analysis.claims_evidence import column, of_errors, only
from scipy import optimize, stats

from gc2l.analysis import mean_interval
from gc2l.analysis.claims import CLAIMS, Finding, summary, to_json, to_markdown
from gc2l.analysis.claims.power import (
    LEVEL,
    MOST_SEEDS,
    POWER,
    detectable,
    open_part,
    outlook,
    resolutions,
    seeds_needed,
)
from gc2l.analysis.claims.verdict import Claimed, Part, Verdict, decide, p_against
from gc2l.analysis.readme import verdict_table
from gc2l.paper import reported_rows

A1 = next(claim for claim in CLAIMS if claim.id == "A1")
BELOW = Claimed("<", 0)


def part_of(values, claimed=BELOW, **changes):
    effect = mean_interval(values)
    fields = {
        "name": "a part",
        "verdict": decide(effect, claimed),
        "claimed": claimed,
        "unit": "points",
        "effect": effect.value,
        "interval": effect.interval,
        "p_against": p_against(effect, claimed),
        "seeds": tuple(range(1, len(values) + 1)),
    }
    return Part(**fields | changes)


@pytest.mark.parametrize("distance", [0.1, 0.2, 0.4])
def test_many_seeds_are_those_of_the_normal_test(distance):
    # Where n is large Student's t is normal: n = ((z(level) + z(power)) / (distance / spread))^2.
    closed = ((stats.norm.isf(LEVEL) + stats.norm.ppf(POWER)) / distance) ** 2
    assert seeds_needed(distance, 1.0) == pytest.approx(closed, abs=4)


def test_the_textbook_number_of_pairs():
    # A paired t test that finds half a standard deviation at 5 % (two-sided) with a chance of 80 % takes 34 pairs.
    assert seeds_needed(0.5, 1.0) == 34
    assert seeds_needed(1.0, 2.0) == 34


def test_simulated_seeds_decide_as_often_as_promised():
    count = seeds_needed(0.8, 1.0)
    draws = 0.8 + np.random.default_rng(0).standard_normal((20_000, count))
    found = stats.ttest_1samp(draws, 0, axis=1, alternative="greater").pvalue < LEVEL
    assert POWER - 0.01 <= found.mean() < 0.9
    fewer = stats.ttest_1samp(draws[:, 1:], 0, axis=1, alternative="greater").pvalue < LEVEL
    assert fewer.mean() < POWER


def test_no_number_of_seeds_finds_nothing():
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-3, 1.0) is None
    just = optimize.brentq(lambda d: (2.8 / d) ** 2 - MOST_SEEDS, 0.01, 1)
    assert seeds_needed(0.9 * just, 1.0) is None
    assert seeds_needed(1.1 * just, 1.0) < MOST_SEEDS


def test_the_spread_is_that_of_the_seeds():
    values = [-1.5, 0.3, -0.9, 0.2, -1.6]
    found = outlook(part_of(values))
    needed = seeds_needed(abs(np.mean(values)), np.std(values, ddof=1))
    assert (found.verdict, found.more_seeds) == (Verdict.REPRODUCED, needed - 5)
    assert str(found) == f"about {needed - 5} more seeds would settle it (reproduced)"


def test_against_the_claim_holm_asks_for_more():
    values = [1.5, -0.3, 0.9, -0.2, 1.6]
    alone, one_of_eight = outlook(part_of(values)), outlook(part_of(values), 8)
    assert alone.verdict is one_of_eight.verdict is Verdict.CONTRADICTED
    assert one_of_eight.more_seeds > alone.more_seeds
    mirrored = [-value for value in values]
    assert outlook(part_of(mirrored), 8) == outlook(part_of(mirrored))


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ([-1.0, -1.1, -0.9], {}),  # decided
        ([-1.0, 1.1], {}),  # two seeds say little of their spread
        ([-1.5, 0.3, -0.9], {"diverged": True}),
        ([-1.0, -1.0, -1.0], {}),  # no spread
    ],
)
def test_where_the_spread_is_unknown_nothing_is_said(values, changes):
    assert outlook(part_of(values, **changes)) is None


def test_the_summary_names_the_one_part_that_is_open_and_what_it_takes():
    good = {("gc", n): [100, 112, 119, 103, 97] for n in (2, 4, 8, 16)}
    good |= {("gc2l", n): [80, 90, 101, 80, 79] for n in (4, 8, 16)}
    finding = only("A1", of_errors(column(), good | {("gc2l", 2): [90, 116, 111, 106, 90]}))
    part, found = open_part(finding)
    assert part.name == "n = 2: GC-2L - GC"
    assert math.isclose(part.effect, -0.36)
    (row,) = summary([(A1, (finding,))])
    assert row[1] == "inconclusive"
    assert f"all other parts are reproduced, {found}" in row[-1]
    assert f"; n = 2: GC-2L - GC alone is undecided, {found})" in verdict_table([(A1, (finding,))])
    assert f'"more_seeds": {found.more_seeds}' in to_json([(A1, (finding,))])
    two_open = {("gc2l", n): [90, 116, 111, 106, 90] for n in (2, 4)}
    assert open_part(only("A1", of_errors(column(), good | two_open))) is None


@pytest.mark.parametrize("count", [3, 5, 12])
def test_simulated_seeds_find_the_smallest_effect_that_would_show(count):
    values = np.linspace(-1, 1, count)
    smallest = detectable(part_of(list(values))) / np.std(values, ddof=1)
    draws = smallest + np.random.default_rng(0).standard_normal((40_000, count))
    found = stats.ttest_1samp(draws, 0, axis=1, alternative="greater").pvalue < LEVEL
    assert found.mean() == pytest.approx(POWER, abs=0.01)
    assert seeds_needed(1.001 * smallest, 1.0) == count


def test_nothing_shows_where_the_spread_is_unknown():
    assert detectable(part_of([1.0])) is None
    assert detectable(part_of([1.0, 1.0, 1.0])) is None
    assert detectable(part_of([1.0, 2.0, 4.0], diverged=True)) is None


def test_two_seeds_decide_nothing_so_no_effect_would_show():
    # However large: with a difference of 50 points the verdict is "inconclusive".
    part = part_of([-50.0, -50.1], reported=-0.05)
    assert part.verdict is Verdict.INCONCLUSIVE
    assert detectable(part) is None
    (found,) = resolutions(Finding(parts=(part,)))
    assert found.detectable is None
    assert "2 seeds decide nothing. The paper's, of 0.05 to 0.05, would take" in str(found)


def test_the_spread_of_a_scale_is_pooled_and_stands_beside_the_papers_effects():
    many, few = [0.3, -1.2, 0.4, 0.9], [-2.0, 2.0, 0.3]
    parts = (part_of(many, reported=-0.5), part_of(few, reported=-2.0), part_of([0.0], reported=0.25))
    (found,) = resolutions(Finding(parts=parts))
    spread = math.sqrt((3 * np.var(many, ddof=1) + 2 * np.var(few, ddof=1)) / 5)
    assert (found.comparisons, found.seeds, found.reported) == (2, 3, (0.5, 2.0))  # 0.25 is not on the claimed side
    assert found.spread == pytest.approx(spread)
    assert found.detectable == pytest.approx(detectable(part_of(few)) / np.std(few, ddof=1) * spread)
    assert found.needed == f"{seeds_needed(2.0, spread)} to {seeds_needed(0.5, spread)}"
    assert str(found).endswith(f" The paper's, of 2 to 0.5, would take {found.needed} seeds.")
    (unknown,) = resolutions(Finding(parts=(part_of(many),)))
    assert unknown.reported is None and unknown.needed == "" and "paper" not in str(unknown)
    (hopeless,) = resolutions(Finding(parts=(part_of(many, reported=-0.001),)))
    assert hopeless.needed == f"more than {MOST_SEEDS}"


def test_the_papers_effects_are_those_of_its_tables():
    printed = {
        (row.variant, row.groups): row.error_percent
        for row in reported_rows("table1")
        if (row.network, row.dataset) == ("wide_resnet_28_10", "cifar10")
    }
    errors = {(variant, n): [100, 112, 119 + n] for variant in ("gc", "gc2l") for n in (2, 4, 8, 16)}
    finding = only("A1", of_errors(column(), errors))
    assert [part.reported for part in finding.parts] == [printed["gc2l", n] - printed["gc", n] for n in (2, 4, 8, 16)]
    first, second = only("A2", of_errors(column(), errors)).parts
    gc, gc2l = (
        np.polyfit([1, 2, 3, 4], [printed[variant, n] for n in (2, 4, 8, 16)], 1)[0] for variant in ("gc", "gc2l")
    )
    assert first.reported == pytest.approx(gc) and second.reported == pytest.approx(gc2l - gc)
    assert {part.reported for part in only("A4", of_errors(column(), errors)).parts} == {None}


def test_texts_say_what_would_show():
    errors = {("gc", n): [100, 112, 119] for n in (2, 4, 8, 16)} | {("gc2l", n): [97, 101, 130] for n in (2, 4, 8, 16)}
    finding = only("A1", of_errors(column(), errors))
    shown = f"{detectable(finding.parts[0]):.2g}"
    (row,) = summary([(A1, (finding,))])
    assert f"would show from {shown} on" in row[-1]
    (found,) = resolutions(finding)
    assert str(found) in to_markdown([(A1, (finding,))])
    assert f"; the paper's effects would take {found.needed} seeds in points)" in verdict_table([(A1, (finding,))])
    assert f'"detectable": {detectable(finding.parts[0])}' in to_json([(A1, (finding,))])
