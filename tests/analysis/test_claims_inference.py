import pytest
from analysis.claims_evidence import column, evidence
from analysis.inference_times import record, time

from gc2l.analysis.claims import CLAIMS, Verdict

E1, E2 = (next(claim for claim in CLAIMS if claim.id == name) for name in ("E1", "E2"))
OTHERS = {"TVM default": 3.4, "PyTorch NCHW": 8.0, "LiteRT": 4.0}


def finding(claim, *times):
    (found,) = claim.evaluate(evidence(column(), [], inference=record(*times)))
    return found


@pytest.mark.parametrize(
    ("share", "spread", "verdict"),
    [(1.1, 1.01, Verdict.REPRODUCED), (0.9, 1.01, Verdict.CONTRADICTED), (1.1, 1.2, Verdict.INCONCLUSIVE)],
)
def test_e1_compares_with_the_printed_factors(share, spread, verdict):
    others = [time(name, factor * share, spread=spread) for name, factor in OTHERS.items()]
    found = finding(E1, time("GSPC as published", 1.0, spread=spread), *others)
    assert [part.verdict for part in found.parts] == [verdict] * 3
    assert found.verdict is verdict
    assert "then (2020" in found.parts[0].note


def test_e1_counts_neither_one_group_nor_pointwise_layers_and_needs_every_library():
    times = [time(name, 100.0, n=n, kernel=kernel) for name in OTHERS for n, kernel in ((1, 3), (4, 1))]
    times += [time("GSPC as published", 1.0, n=n, kernel=kernel) for n, kernel in ((1, 3), (4, 1), (4, 3))]
    found = finding(E1, *times, time("TVM default", 5.0))
    assert [part.effect for part in found.parts] == [pytest.approx(5), None, None]
    assert found.parts[1].verdict is Verdict.NOT_YET_TESTED


@pytest.mark.parametrize(("many", "verdict"), [(0.1, Verdict.REPRODUCED), (0.15, Verdict.CONTRADICTED)])
def test_e2_compares_sixteen_groups_with_one(many, verdict):
    found = finding(E2, time("GSPC as published", 1.0, n=1), time("GSPC as published", many, n=16), time("ours", 1.0))
    assert found.verdict is verdict
    assert found.parts[0].effect == pytest.approx(many)


def test_without_times_nothing_is_tested():
    for claim in (E1, E2):
        (found,) = claim.evaluate(evidence(column(), []))
        assert found.verdict is Verdict.NOT_YET_TESTED
        assert "make edge" in found.missing


def test_few_turns_decide_nothing():
    times = [
        time("GSPC as published", seconds, n=n).model_copy(update={"turns": 2}) for n, seconds in ((1, 1.0), (16, 0.1))
    ]
    assert finding(E2, *times).verdict is Verdict.INCONCLUSIVE
