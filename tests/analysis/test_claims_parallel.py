"""B1 and B3, from measurements and counts with a known answer."""

import pytest
from analysis.claims_evidence import column, evidence
from analysis.test_scaling import _timing, record  # noqa: F401  a fixture

from gc2l.analysis.claims import CLAIMS, Verdict, summary
from gc2l.analysis.readme import verdict_table
from gc2l.records import WireCount, WireRecord

B1, B3 = (next(claim for claim in CLAIMS if claim.id == name) for name in ("B1", "B3"))


def _evidence(**changes):
    return evidence(column(), [], **changes)


def _wire(**changes) -> WireRecord:
    sizes = {"calls": 19, "forward_bytes": 1000, "backward_bytes": 880, "expected_bytes": 1880, "equal": True}
    counts = [
        WireCount(variant="gc2l", groups=4, **sizes | changes),
        WireCount(variant="sc", groups=4, **sizes | {"forward_bytes": 9000, "expected_bytes": 9880}),
    ]
    return WireRecord(commit="abc", dirty=False, versions={}, network="small", ranks=2, images=3, counts=tuple(counts))


def _with_width(record, k, seconds):  # noqa: F811
    """Measured at width k: n = 1, 2, 4 take these seconds."""
    shares = [
        share.model_copy(update={"work": share.work.model_copy(update={"widen_factor": k}), "time": _timing(second)})
        for share, second in zip(record.shares[:3], seconds, strict=True)
    ]
    return record.model_copy(update={"shares": tuple(shares)})


def test_without_measurements_nothing_is_said():
    for claim in (B1, B3):
        (finding,) = claim.evaluate(_evidence())
        assert finding.verdict is Verdict.NOT_YET_TESTED
        assert "make" in finding.missing


def test_narrow_networks_say_nothing(record):  # noqa: F811
    (finding,) = B1.evaluate(_evidence(scaling=(record,)))
    assert finding.verdict is Verdict.NOT_YET_TESTED
    assert [part.name for part in finding.parts] == [f"k = {k}: step of one rank" for k in (40, 60, 80)]


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [((90.0, 30.0, 5.0), Verdict.REPRODUCED), ((9.0, 3.0, 2.0), Verdict.CONTRADICTED)],
)
def test_the_papers_widths_decide(record, seconds, verdict):  # noqa: F811
    shares = tuple(share for k in (40, 60, 80) for share in _with_width(record, k, seconds).shares)
    (finding,) = B1.evaluate(_evidence(scaling=(record.model_copy(update={"shares": shares}),)))
    assert finding.verdict is verdict
    assert [part.effect for part in finding.parts[:3]] == pytest.approx(
        [seconds[0] / seconds[1], seconds[1] / seconds[2], seconds[0] / seconds[2]]
    )
    assert finding.parts[2].claimed.bound == pytest.approx(178977 / 31187)
    (row,) = summary([(B1, (finding,))])
    assert row[:3] == ("B1", verdict.value, "measured")
    assert verdict_table([(B1, (finding,))]).endswith(f"| **{verdict}** (measured) |")


def test_steps_that_scatter_over_the_bound_decide_nothing(record):  # noqa: F811
    scattered = _with_width(record, 40, (9.0, 3.0, 1.0))
    last = scattered.shares[2]
    last = last.model_copy(update={"time": last.time.model_copy(update={"high": 2.0})})
    scattered = scattered.model_copy(update={"shares": (*scattered.shares[:2], last)})
    (finding,) = B1.evaluate(_evidence(scaling=(scattered,)))
    assert [part.verdict for part in finding.parts] == [
        Verdict.REPRODUCED,
        Verdict.INCONCLUSIVE,  # 3 / 2 to 3 / 1
        Verdict.INCONCLUSIVE,  # 9 / 2 to 9 / 1, claimed 5.7
        Verdict.NOT_YET_TESTED,
        Verdict.NOT_YET_TESTED,
    ]
    assert finding.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "verdict", "bytes_beyond"),
    [
        ({}, Verdict.REPRODUCED, 0),
        ({"backward_bytes": 980, "equal": False}, Verdict.CONTRADICTED, 1980),
        ({"equal": False}, Verdict.CONTRADICTED, 1880),  # the right number of bytes in the wrong collectives
    ],
)
def test_a_byte_too_many_is_found(changes, verdict, bytes_beyond):
    (finding,) = B3.evaluate(_evidence(wire=_wire(**changes)))
    assert finding.verdict is verdict
    (part,) = finding.parts
    assert part.effect == bytes_beyond
    assert "19.0 % of SC's" in part.note or changes
