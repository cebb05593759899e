"""Seeds that ran on another device or in another precision: said, never paired with each other."""

import pytest
from analysis.claims_evidence import column, evidence, only, run

from gc2l.analysis import RunIndex
from gc2l.analysis.claims import Verdict
from gc2l.analysis.labels import executions_label, seeds_label
from gc2l.analysis.selection import ran_alike, seeds_by_execution
from gc2l.records import Execution, Parallelism, Rank

PLACE = column()
CPU = Execution(device="cpu", precision="float32", compile=False, channels_last=True, threads=1)
GPU = CPU.model_copy(update={"device": "cuda", "precision": "bfloat16"})
GC, TWO_LEVEL = [400, 90, 101, 108, 96], [300, 80, 90, 99, 88]


def _run(variant, seed, errors, execution):
    made = run(PLACE, variant, 2, seed, errors)
    accelerator = "NVIDIA H200" if execution.device == "cuda" else None
    hardware = made.hardware.model_copy(update={"accelerator": accelerator})
    return made.model_copy(update={"execution": execution, "hardware": hardware})


def _part(executions_of_gc, executions_of_gc2l):
    records = [
        _run(variant, seed, errors, execution)
        for variant, of_seed, executions in (
            ("gc", GC, executions_of_gc),
            ("gc2l", TWO_LEVEL, executions_of_gc2l),
        )
        for seed, (errors, execution) in enumerate(zip(of_seed, executions, strict=True), start=1)
    ]
    return only("A1", evidence(PLACE, records, index=RunIndex(records))).parts[0]


def test_seeds_on_several_devices_are_named_with_the_effect_of_the_most():
    part = _part([CPU, *[GPU] * 4], [CPU, *[GPU] * 4])
    assert part.seeds == (1, 2, 3, 4, 5)
    assert part.effect == pytest.approx(-2.76)
    # -1.0, -1.1, -0.9 and -0.8 points: mean -0.95, half 3.182446 * 0.129099 / 2.
    assert part.note == (
        "seed 1 on cpu, float32; seeds 2-5 on NVIDIA H200, bfloat16; "
        "seeds 2-5 alone: -0.95 (-1.16 to -0.74), reproduced"
    )


def test_runs_of_one_seed_that_differ_are_no_pair():
    part = _part([CPU, *[GPU] * 4], [GPU, *[GPU] * 4])
    assert part.seeds == (2, 3, 4, 5)
    assert part.effect == pytest.approx(-0.95)
    assert part.note == "seed 1 left out: the runs differ in device, precision, images or division of batches"
    half = _part([GPU] * 5, [GPU, GPU, GPU, GPU, GPU.model_copy(update={"precision": "float32"})])
    assert half.seeds == (1, 2, 3, 4)


def test_without_a_pair_nothing_is_tested():
    part = _part([CPU] * 5, [GPU] * 5)
    assert part.verdict is Verdict.NOT_YET_TESTED
    assert "seeds 1-5 left out" in part.note


def test_how_a_step_is_executed_otherwise_does_not_matter():
    part = _part([CPU] * 5, [CPU.model_copy(update={"threads": 2, "compile": True})] * 5)
    assert part.seeds == (1, 2, 3, 4, 5)
    assert not part.note


def test_divided_batches_are_compared_with_none_but_such():
    def divided(run, parts):
        counts = {"parameters": 1, "peak_memory_bytes": 1, "collectives": 1, "received_bytes": 1}
        ranks = tuple(Rank(rank=place, channel=0, data=place, host="here", **counts) for place in range(parts))
        return run.model_copy(update={"parallel": Parallelism(overlap=True, ranks=ranks)})

    alone = _run("gc", 1, 1, CPU)
    two, three = divided(alone, 2), divided(alone, 3)
    assert ran_alike([alone, divided(alone, 1)]) and ran_alike([two, two])
    assert not ran_alike([alone, two]) and not ran_alike([two, three])
    assert list(seeds_by_execution([two])) == ["cpu, float32, batches in 2 parts"]


def test_runs_on_other_images_are_compared_with_none_but_such():
    """A data set can come from several sources whose pixels differ, such as Imagenette's three sizes."""
    ours, theirs = (_run("gc", seed, 1, CPU) for seed in (1, 2))
    theirs = theirs.model_copy(update={"data_fingerprint": "theirs" + "0" * 58})
    assert ran_alike([theirs, theirs]) and not ran_alike([ours, theirs])
    assert list(seeds_by_execution([theirs])) == ["cpu, float32"]
    names = [f"cpu, float32, images {run.data_fingerprint[:8]}" for run in (ours, theirs)]
    assert seeds_by_execution([ours, theirs]) == {names[0]: (1,), names[1]: (2,)}


def test_labels():
    assert [seeds_label(seeds) for seeds in ((3,), (1, 2), (2, 3, 4), (1, 2, 4))] == [
        "seed 3",
        "seeds 1, 2",
        "seeds 2-4",
        "seeds 1, 2, 4",
    ]
    records = [_run("gc", seed, 1, GPU if seed > 1 else CPU) for seed in (3, 1, 2)]
    found = seeds_by_execution(records)
    assert list(found) == ["NVIDIA H200, bfloat16", "cpu, float32"]
    assert executions_label(found) == "seed 1 on cpu, float32; seeds 2, 3 on NVIDIA H200, bfloat16"
