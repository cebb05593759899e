import numpy as np
import pytest
from analysis.claims_evidence import column, evidence, judge, of_errors, only, run
from pytest import approx

from gc2l.analysis.claims import Verdict

SEEDS = 4
CIFAR = column()
IMAGENET = column("wide_resnet_34_2", "imagenet")
MOBILE = column("mobilenet_v2", "imagenet")


def ladder(start, step, groups=(2, 4, 8, 16), seeds=SEEDS):
    """For each n and seed start + step log2 n wrong answers, and noise of at most 3 that no two ladders share."""
    random = np.random.default_rng([start, abs(step)])
    return {n: (start + step * (n.bit_length() - 1) + random.integers(-3, 4, seeds)).tolist() for n in groups}


def errors(**ladders):
    return {(variant, n): of_seed for variant, ladder in ladders.items() for n, of_seed in ladder.items()}


STEEP, FLAT = ladder(100, 30), ladder(90, 5)
EQUAL = {
    n: [wrong + shift for wrong, shift in zip(of_seed, (3, -2, -2, 1), strict=True)] for n, of_seed in STEEP.items()
}


def test_a1_effect_present_reversed_absent():
    assert only("A1", of_errors(CIFAR, errors(gc=STEEP, gc2l=FLAT))).verdict is Verdict.REPRODUCED
    assert only("A1", of_errors(CIFAR, errors(gc=FLAT, gc2l=STEEP))).verdict is Verdict.CONTRADICTED
    finding = only("A1", of_errors(CIFAR, errors(gc=STEEP, gc2l=EQUAL)))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert [part.verdict for part in finding.parts] == [Verdict.INCONCLUSIVE] * 4


def test_a1_reports_every_n_with_its_seeds_and_runs():
    finding = only("A1", of_errors(CIFAR, errors(gc=STEEP, gc2l=FLAT)))
    assert [part.name for part in finding.parts] == [f"n = {n}: GC-2L - GC" for n in (2, 4, 8, 16)]
    assert finding.seeds == (4, 4)
    first = finding.parts[0]
    assert first.seeds == (1, 2, 3, 4)
    assert set(first.runs) == {CIFAR.cell(v, 2, seed).identity for v in ("gc", "gc2l") for seed in (1, 2, 3, 4)}
    # 95 against 130 wrong answers in 1000 and the same noise: no spread, however large the effect.
    same = only("A1", of_errors(CIFAR, {("gc", 2): [130, 131, 132], ("gc2l", 2): [95, 96, 97]})).parts[0]
    assert same.effect == approx(-3.5)
    assert same.verdict is Verdict.INCONCLUSIVE


def test_a1_pairs_by_seed():
    # The seeds differ far more than the variants do: only pairs show the effect.
    wrong = {
        (v, n): of_seed for n in (2, 4, 8, 16) for v, of_seed in (("gc", [100, 200, 300]), ("gc2l", [94, 195, 295]))
    }
    finding = only("A1", of_errors(CIFAR, wrong))
    assert finding.verdict is Verdict.REPRODUCED
    # Differences -0.6, -0.5, -0.5 points: half the interval is 4.302653 * 0.057735 / sqrt(3).
    half = 4.302653 * 0.0577350 / 3**0.5
    assert finding.parts[0].interval.high == approx(-1.6 / 3 + half, abs=1e-6)


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_decide_nothing(seeds):
    few = errors(gc=ladder(100, 30, seeds=seeds), gc2l=ladder(10, 1, seeds=seeds))
    for claim in ("A1", "A2"):
        finding = only(claim, of_errors(CIFAR, few))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.seeds == (seeds, seeds)
        assert (finding.parts[0].interval is None) == (seeds == 1)


def test_missing_cells_leave_a_claim_open_and_are_named():
    some = errors(gc=STEEP, gc2l={n: FLAT[n] for n in (2, 4, 8)})
    finding = only("A1", of_errors(CIFAR, some))
    assert [part.verdict.value for part in finding.parts] == ["reproduced"] * 3 + ["not yet tested"]
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.missing == "finished runs of GC-2L n = 16"
    assert finding.parts[3].note == "no finished run of GC-2L n = 16"
    none = only("A1", of_errors(CIFAR, errors(gc=STEEP)))
    assert none.verdict is Verdict.NOT_YET_TESTED
    apart = {("gc", 2): [100], ("gc2l", 2): [None, 90]}
    assert only("A1", of_errors(CIFAR, apart)).parts[0].note.startswith("no seed that all of these runs share")


def test_missing_cells_are_listed_once_and_by_variant():
    finding = only("C3", of_errors(CIFAR, errors(gc=STEEP, flgc={2: STEEP[2], 8: STEEP[8]})))
    assert finding.missing == "finished runs of FLGC n = 4, 16, Shuffle n = 4, 8, 16, GC-2L n = 4, 8, 16"
    assert finding.seeds == (SEEDS, SEEDS)
    two_level = of_errors(CIFAR, {("gc2l", 2): [100], ("sc", 1): [None]})
    assert only("A4", two_level).parts[0].note == "no finished run of SC; SC diverged with seed 1"


def test_a_missing_cell_does_not_save_a_contradicted_claim():
    some = errors(gc=FLAT, gc2l={2: STEEP[2]})
    assert only("A1", of_errors(CIFAR, some)).verdict is Verdict.CONTRADICTED


def test_no_runs_at_all():
    (finding,) = judge("A1", evidence(CIFAR, []))
    assert finding.verdict is Verdict.NOT_YET_TESTED
    assert finding.scale is None
    assert "Table 1" in finding.missing


def test_a_diverged_run_decides_nothing_for_either_side():
    for lost, won in (("gc", "gc2l"), ("gc2l", "gc")):
        diverging = errors(**{lost: STEEP | {4: [*STEEP[4], None]}, won: FLAT | {4: [*FLAT[4], 80]}})
        finding = only("A1", of_errors(CIFAR, diverging))
        assert finding.parts[1].verdict is Verdict.INCONCLUSIVE
        assert "n = 4 diverged with seed 5" in finding.parts[1].note
        assert finding.parts[1].seeds == (1, 2, 3, 4)
        assert finding.parts[0].verdict is not Verdict.INCONCLUSIVE


def test_a2_slopes():
    finding = only("A2", of_errors(CIFAR, errors(gc=STEEP, gc2l=FLAT)))
    assert finding.verdict is Verdict.REPRODUCED
    assert only("A2", of_errors(CIFAR, errors(gc=FLAT, gc2l=STEEP))).verdict is Verdict.CONTRADICTED
    falling = only("A2", of_errors(CIFAR, errors(gc=ladder(300, -30), gc2l=ladder(300, -50))))
    assert [part.verdict.value for part in falling.parts] == ["contradicted", "reproduced"]
    assert falling.verdict is Verdict.CONTRADICTED
    missing = only("A2", of_errors(CIFAR, errors(gc=STEEP, gc2l={2: FLAT[2]})))
    assert [part.verdict.value for part in missing.parts] == ["reproduced", "not yet tested"]


def test_a_level_line_has_slope_zero():
    wrong = {("gc", n): [100, 100 + n, 100 - n] for n in (2, 4, 8, 16)}
    part = only("A2", of_errors(CIFAR, wrong)).parts[0]
    assert part.verdict is Verdict.INCONCLUSIVE
    assert part.effect == approx(0)


def test_a2_slope_by_hand():
    # Errors 10, 13, 16, 19 % rise by 3 points with each doubling; the seeds' slopes are 3, 4 and 5.
    wrong = {("gc", 2**x): [100 + 30 * x, 100 + 40 * x, 100 + 50 * x] for x in (1, 2, 3, 4)}
    part = only("A2", of_errors(CIFAR, wrong)).parts[0]
    assert part.effect == approx(4)
    assert part.interval.high == approx(4 + 4.302653 / 3**0.5)
    # All twelve points around 10 + 4 x: residuals -x, 0, x, so 2 (1 + 4 + 9 + 16) / 10 degrees / (3 * 5) squared.
    assert part.note == f"pooled slope of GC 4.00 (standard error {(60 / 10 / 15) ** 0.5:.2f})"


def with_losses(sc, gc2l, gc):
    place, random = column(epochs=20), np.random.default_rng(0)
    triples = {"sc": [(1, sc)], "gc2l": [(n, gc2l) for n in (2, 4, 8, 16)], "gc": [(n, gc) for n in (2, 4, 8, 16)]}
    return evidence(
        place,
        [
            run(place, variant, n, seed, 100, loss=loss + random.normal(scale=0.02))
            for variant, cells in triples.items()
            for n, loss in cells
            for seed in (1, 2, 3, 4)
        ],
    )


def test_a4_orders_the_losses_of_the_last_tenth_of_the_epochs():
    finding = only("A4", with_losses(0.5, 1.0, 2.0))
    assert finding.verdict is Verdict.REPRODUCED
    assert len(finding.parts) == 8
    # Only the last two of twenty epochs have these losses, the others 100.
    assert finding.parts[0].effect == approx(-0.5, abs=0.05)
    assert only("A4", with_losses(0.5, 2.0, 1.0)).verdict is Verdict.CONTRADICTED
    assert only("A4", with_losses(1.0, 0.5, 2.0)).verdict is Verdict.CONTRADICTED


def test_b2_allows_four_tenths_of_a_point():
    wide = column("wide_resnet_28_40", "cifar10")
    for rise, verdict in ((0, "reproduced"), (4, "inconclusive"), (9, "contradicted")):
        wrong = {("sc", 1): [100, 110, 120], ("gc2l", 4): [100 + rise, 111 + rise, 119 + rise]}
        assert only("B2", of_errors(wide, wrong)).verdict == verdict
    assert only("B2", of_errors(CIFAR, {("sc", 1): [100]})).verdict is Verdict.NOT_YET_TESTED
    # Twelve seeds in which it rises by 0.3 or 0.4 points, and by 0.4 or 0.5.
    for rises, verdict in (((3, 4), "reproduced"), ((4, 5), "contradicted")):
        wrong = {("sc", 1): [100] * 12, ("gc2l", 4): [100 + rise for rise in rises] * 6}
        assert only("B2", of_errors(wide, wrong)).verdict == verdict


def test_c1_smallest_slope():
    middle = ladder(95, 20)
    finding = only("C1", of_errors(CIFAR, errors(gc=STEEP, shuffle=middle, flgc=ladder(100, 40), gc2l=FLAT)))
    assert finding.verdict is Verdict.REPRODUCED
    finding = only("C1", of_errors(CIFAR, errors(gc=STEEP, shuffle=FLAT, flgc=ladder(100, 40), gc2l=middle)))
    assert [part.verdict.value for part in finding.parts] == ["reproduced", "contradicted", "reproduced"]
    assert finding.verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize(("place", "last"), [(CIFAR, 8), (IMAGENET, 4)])
def test_c2_has_a_crossing(place, last):
    better, worse, spread = (100, 100, 100), (120, 122, 121), (2, 1, 0)
    wrong = {}
    for n in (2, 4, 8, 16):
        shuffle, two_level = (better, worse) if n <= last else (worse, better)
        wrong["shuffle", n] = [value + shift for value, shift in zip(shuffle, spread, strict=True)]
        wrong["gc2l", n] = list(two_level)
    finding = only("C2", of_errors(place, wrong))
    assert finding.verdict is Verdict.REPRODUCED
    assert len(finding.parts) == {8: 4, 4: 3}[last]
    swapped = {({"shuffle": "gc2l", "gc2l": "shuffle"}[variant], n): of_seed for (variant, n), of_seed in wrong.items()}
    assert only("C2", of_errors(place, swapped)).verdict is Verdict.CONTRADICTED


def test_c3_from_four_groups_on():
    others = {"gc": ladder(100, 10), "shuffle": ladder(90, 10), "gc2l": FLAT}
    worst = ladder(120, 40) | {2: [1, 2, 4, 3]}
    finding = only("C3", of_errors(CIFAR, errors(flgc=worst, **others)))
    assert finding.verdict is Verdict.REPRODUCED
    assert len(finding.parts) == 9
    beaten = worst | {8: [1, 2, 4, 3]}
    assert only("C3", of_errors(CIFAR, errors(flgc=beaten, **others))).verdict is Verdict.CONTRADICTED


def test_d1_lowest_and_flattest():
    groups = (2, 4, 8)
    others = {v: ladder(200, step, groups) for v, step in (("gc", 40), ("shuffle", 20), ("flgc", 50))}
    finding = only("D1", of_errors(MOBILE, errors(gc2l=ladder(150, 5, groups), **others)))
    assert finding.verdict is Verdict.REPRODUCED
    assert len(finding.parts) == 12
    # Lowest everywhere but steeper than Shuffle.
    steeper = only("D1", of_errors(MOBILE, errors(gc2l=ladder(20, 39, groups), **others)))
    assert [part.name for part in steeper.parts if part.verdict is Verdict.CONTRADICTED] == ["slope: GC-2L - Shuffle"]
    assert steeper.verdict is Verdict.CONTRADICTED
