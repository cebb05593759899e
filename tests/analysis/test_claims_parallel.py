"""B1 and B3, from measurements and counts with a known answer."""

import pytest
from analysis.claims_evidence import column, evidence
from analysis.test_scaling import record  # noqa: F401  a fixture

from gc2l.analysis.claims import CLAIMS, Verdict, summary
from gc2l.analysis.readme import verdict_table
from gc2l.records import ShareTime, Timing, WireCount, WireRecord

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


HOST = 0.03
GROWING = {(40, 1): 1.2, (40, 2): 0.5, (40, 4): 0.25, (60, 1): 3.0, (60, 2): 1.0, (60, 4): 0.4}
GROWING |= {(80, 1): 5.6, (80, 2): 1.6, (80, 4): 0.5}


def _on_a_gpu(record, device, spread=1.01, repeats=10):  # noqa: F811
    """Steps of a GPU whose device takes these seconds, and whose host takes HOST to launch any of them."""
    work = record.shares[0].work
    launched = {(20, n): 0.0 for n in (8, 16, 32)}
    shares = []
    for (k, n), seconds in (device | launched).items():
        step = max(HOST, seconds)
        changes = {"widen_factor": k, "groups": n, "flops": int(1e14 * max(seconds, 1e-3))}
        changes |= {"own_parameters": int(1e9 * max(seconds, 1e-3)), "elements": int(1e9 * max(seconds, 1e-3) ** 0.5)}
        time = Timing(seconds=step, low=step / spread, high=step * spread, repeats=repeats)
        shares.append(ShareTime(work=work.model_copy(update=changes), time=time, peak_memory_bytes=1))
    return record.model_copy(update={"device": "cuda", "shares": tuple(shares), "together": (), "link": ()})


def _b1(*records):
    (finding,) = B1.evaluate(_evidence(scaling=records))
    return finding, {part.name: part for part in finding.parts}


def test_without_measurements_nothing_is_said():
    for claim in (B1, B3):
        (finding,) = claim.evaluate(_evidence())
        assert finding.verdict is Verdict.NOT_YET_TESTED
        assert "make" in finding.missing


def test_a_cpu_is_no_card(record):  # noqa: F811
    finding, _ = _b1(record)
    assert finding.verdict is Verdict.NOT_YET_TESTED


def test_narrow_networks_say_nothing(record):  # noqa: F811
    finding, parts = _b1(record.model_copy(update={"device": "cuda", "shares": _narrow(record)}))
    assert finding.verdict is Verdict.NOT_YET_TESTED
    assert parts["k = 60, n = 1 to 2: step"].note.endswith("no step of k = 60, n = 1 and k = 60, n = 2")


def _narrow(record):  # noqa: F811
    return tuple(
        share.model_copy(update={"work": share.work.model_copy(update={"widen_factor": share.work.widen_factor // 10})})
        for share in record.shares
    )


def test_steps_that_halve_and_factors_that_grow_reproduce_it(record):  # noqa: F811
    finding, parts = _b1(_on_a_gpu(record, GROWING))
    assert finding.verdict is Verdict.REPRODUCED
    assert list(parts) == [
        "k = 60, n = 1 to 2: step",
        "k = 60, n = 2 to 4: step",
        "k = 80, n = 1 to 2: step",
        "k = 80, n = 2 to 4: step",
        "n = 1 to 2: factor at k = 60 over that at k = 40",
        "n = 1 to 2: factor at k = 80 over that at k = 60",
        "n = 2 to 4: factor at k = 60 over that at k = 40",
        "n = 2 to 4: factor at k = 80 over that at k = 60",
    ]
    assert parts["k = 60, n = 1 to 2: step"].effect == pytest.approx(3)
    assert parts["n = 1 to 2: factor at k = 80 over that at k = 60"].effect == pytest.approx(3.5 / 3)
    assert not finding.missing
    (row,) = summary([(B1, (finding,))])
    assert row[:3] == ("B1", "reproduced", "measured")
    assert verdict_table([(B1, (finding,))]).endswith("| **reproduced** (measured) |")


def test_the_papers_factors_are_shown_and_decide_nothing(record):  # noqa: F811
    _, parts = _b1(_on_a_gpu(record, GROWING))
    # 109097 / 42517 seconds
    assert "the paper's, on other GPUs: 2.57" in parts["k = 60, n = 2 to 4: step"].note
    part = parts["n = 1 to 2: factor at k = 80 over that at k = 60"]
    assert f"the paper's, on other GPUs: {918087 / 264539 / (323349 / 109097):.2f}" in part.note
    # Half as long is enough, although the paper's step took a third.
    finding, parts = _b1(_on_a_gpu(record, GROWING | {(60, 1): 2.5, (80, 1): 4.8}))
    assert parts["k = 60, n = 1 to 2: step"].verdict is Verdict.REPRODUCED
    assert finding.verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("slow", "wrong"),
    [
        ({(60, 4): 0.6}, "k = 60, n = 2 to 4: step"),
        ({(40, 2): 0.3, (40, 4): 0.15}, "n = 1 to 2: factor at k = 60 over that at k = 40"),
    ],
)
def test_one_doubling_that_fails_contradicts_it(record, slow, wrong):  # noqa: F811
    finding, parts = _b1(_on_a_gpu(record, GROWING | slow))
    assert parts[wrong].verdict is Verdict.CONTRADICTED
    assert finding.verdict is Verdict.CONTRADICTED


def test_a_launch_bound_step_only_bounds_the_devices(record):  # noqa: F811
    # The device halves its step from n = 2 to 4 at k = 40, too, but the host hides it.
    finding, parts = _b1(_on_a_gpu(record, GROWING | {(40, 1): 0.1, (40, 2): 0.042, (40, 4): 0.02}))
    hidden = parts["n = 2 to 4: factor at k = 60 over that at k = 40"]
    assert hidden.effect == pytest.approx(2.5 / (0.042 / HOST))
    assert hidden.verdict is Verdict.INCONCLUSIVE
    assert "launch-bound, the device may take less: k = 40, n = 4" in hidden.note
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.missing == "step times without launching of k = 40, n = 4 (A processor)"
    assert finding.missing in next(iter(summary([(B1, (finding,))])))[-1]


def test_a_launch_bound_step_below_the_line_still_shows_a_halving(record):  # noqa: F811
    few = {(80, 1): 0.9, (80, 2): 0.15, (80, 4): 0.01}
    _, parts = _b1(_on_a_gpu(record, GROWING | few))
    assert parts["k = 80, n = 2 to 4: step"].verdict is Verdict.REPRODUCED  # at least 5 times
    _, parts = _b1(_on_a_gpu(record, GROWING | few | {(80, 2): 0.045}))
    assert parts["k = 80, n = 2 to 4: step"].verdict is Verdict.INCONCLUSIVE  # at least 1.5 times


def test_when_every_step_is_launch_bound_nothing_is_decided(record):  # noqa: F811
    finding, parts = _b1(_on_a_gpu(record, dict.fromkeys(GROWING, 0.0)))
    assert {part.verdict for part in parts.values()} == {Verdict.INCONCLUSIVE}
    assert finding.missing.count("k = ") == len(GROWING)


@pytest.mark.parametrize("changes", [{"spread": 1.3}, {"repeats": 5}])
def test_steps_that_scatter_or_are_few_decide_nothing(record, changes):  # noqa: F811
    _, parts = _b1(_on_a_gpu(record, GROWING | {(60, 2): 1.4}, **changes))
    assert parts["k = 60, n = 1 to 2: step"].effect == pytest.approx(3.0 / 1.4)
    assert parts["k = 60, n = 1 to 2: step"].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "verdict", "bytes_beyond"),
    [
        ({}, Verdict.REPRODUCED, 0),
        ({"backward_bytes": 980}, Verdict.CONTRADICTED, 100),
        ({"backward_bytes": 780}, Verdict.CONTRADICTED, 100),  # as wrong as too many
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
