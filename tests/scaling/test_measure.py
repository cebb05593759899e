"""The measurement itself, on the smallest networks: what it records, not how long it takes."""

from dataclasses import replace

import pytest
import torch

from gc2l.bench.device import Device
from gc2l.files import write_checked
from gc2l.records import read_scaling, save_measurement
from gc2l.scaling import JointRun, Network, Plan, count_wire, measure, measure_scaling


def _network(groups: int, ranks: int) -> Network:
    variant = "sc" if groups == 1 else "gc2l"
    return Network(depth=10, widen_factor=1, variant=variant, groups=groups, ranks=ranks, images=2)


@pytest.mark.usefixtures("forked")
def test_measurements_are_recorded_and_read_back(tmp_path):
    lines = []
    plan = Plan(
        shares=(_network(1, 1), _network(2, 2)),
        joint_runs=(
            JointRun(network=_network(2, 1)),
            JointRun(network=_network(2, 2)),
            JointRun(network=_network(2, 2), overlap=False),
            JointRun(network=replace(_network(1, 2), split="layers")),
        ),
        processes=2,
        link_bytes=(2**10, 2**14),
        planned=(_network(4, 4),),
        passes=2,
        rounds=1,
    )
    record = measure_scaling(plan, Device(), log=lines.append)
    assert len(lines) == 5  # two shares in each pass, and the ranks together
    assert [(one.work.groups, one.work.ranks) for one in record.shares] == [(1, 1), (2, 2)]
    assert [(one.work.ranks, one.work.split, one.overlap) for one in record.together] == [
        (1, "channels", True),
        (2, "channels", True),
        (2, "channels", False),
        (2, "layers", True),
    ]
    assert [(one.collective, one.received_bytes) for one in record.link] == [
        ("all_gather", 2**10),
        ("all_gather", 2**14),
        ("reduce_scatter", 2**10),
        ("reduce_scatter", 2**14),
    ]
    for one in (*record.shares, *record.together):
        assert 0 < one.time.low <= one.time.seconds <= one.time.high
        assert one.time.repeats == 2
    save_measurement(record, tmp_path / "cpu.json")
    assert read_scaling(tmp_path) == [record]
    write_checked(tmp_path / "cpu.json", "{}")
    with pytest.raises(ValueError, match=r"cpu\.json is no valid record"):
        read_scaling(tmp_path)


@pytest.mark.parametrize("overlap", [True, False])
def test_a_joint_run_has_the_threads_and_the_overlap_of_its_plan(monkeypatch, overlap):
    parallel, threads = [], []
    monkeypatch.setattr(measure, "parallelize", lambda *_, **options: parallel.append(options))
    monkeypatch.setattr(measure, "_make_step", lambda *_: lambda: None)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    for module, name in ((measure, "make_mesh"), (measure.dist, "barrier")):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    monkeypatch.setattr(measure.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(measure, "_slowest", lambda seconds, _: seconds)
    run = JointRun(network=_network(2, 2), threads=3, overlap=overlap)
    plan = Plan(shares=(), joint_runs=(run,), processes=2, link_bytes=(), planned=(), passes=1, rounds=1)
    step = measure._joint_step(plan, run, Device())
    assert (parallel, threads) == ([{"overlap": overlap}], [])
    step()
    assert threads == [3]


def test_a_time_is_the_middle_one():
    found = measure._timing([1.0, 9.0, 2.0])
    assert (found.seconds, found.low, found.high, found.repeats) == (2, 1, 9, 3)


@pytest.mark.usefixtures("forked")
def test_the_wire_is_counted():
    counts = {count.variant: count for count in count_wire((4,)).counts}
    assert all(count.equal for count in counts.values())
    # logits only: 3 images, 10 classes, 4 bytes
    assert (counts["gc"].forward_bytes, counts["gc"].backward_bytes) == (120, 0)
    assert 0 < counts["gc2l"].forward_bytes < counts["shuffle"].forward_bytes < counts["sc"].forward_bytes
