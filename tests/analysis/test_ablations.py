from analysis.claims_evidence import run
from analysis.samples import CIFAR

from gc2l.analysis.ablations import ablation_table, movement_table
from gc2l.records import Assignment


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_errors_stand_beside_the_reference_with_the_same_n():
    runs = {
        n: {
            "FLGC": [run(CIFAR, "flgc", n, seed, errors) for seed, errors in ((1, 100), (2, 120))],
            "GC": [run(CIFAR, "gc", n, seed, errors + n) for seed, errors in ((1, 110), (2, 130))],
        }
        for n in (4, 16)
    }
    text = ablation_table("The assignment", CIFAR.template, runs, "FLGC")
    assert text.startswith("## The assignment\n")
    rows = [cells(line) for line in text.splitlines() if line.startswith("|")][2:]
    assert [(row[0], row[1]) for row in rows] == [("4", "FLGC"), ("4", "GC"), ("16", "FLGC"), ("16", "GC")]
    rows_of_test = runs[4]["FLGC"][0].test.rows
    for row, n in ((rows[1], 4), (rows[3], 16)):
        assert row[4].split()[0] == f"+{100 * (10 + n) / rows_of_test:.2f}"
        assert row[5] == "2"
    assert "diverged" not in text


def on(record, **fields):
    return record.model_copy(update={"execution": record.execution.model_copy(update=fields)})


def test_runs_on_another_device_or_in_another_precision_are_not_paired():
    reference = [run(CIFAR, "flgc", 4, seed, errors) for seed, errors in ((1, 100), (2, 120), (3, 90))]
    frozen = [run(CIFAR, "flgc", 4, seed, 110) for seed in (1, 2, 3)]
    moved = [on(frozen[0], device="cuda"), frozen[1], on(frozen[2], precision="bfloat16")]

    def difference(records):
        text = ablation_table("The assignment", CIFAR.template, {4: {"FLGC": reference, "frozen": records}}, "FLGC")
        return cells([line for line in text.splitlines() if line.startswith("|")][-1])[4]

    rows_of_test = reference[0].test.rows
    assert difference(frozen).startswith(f"+{100 * 20 / 3 / rows_of_test:.2f} ±")
    assert difference(moved) == f"-{100 * 10 / rows_of_test:.2f} (1)"
    assert difference(moved[::2]) == "-"


def test_moves_are_shares_of_all_channels():
    def learned(seed, moves):
        counts = tuple(
            Assignment(epoch=epoch, channels=400, moved=moved, logits_gradient=0.5 * epoch, weights_gradient=2.0)
            for epoch, moved in enumerate(moves, start=1)
        )
        return run(CIFAR, "flgc", 4, seed, 100).model_copy(update={"assignment": counts})

    runs = {4: {"FLGC": [learned(1, (8, 2)), learned(2, (4, 0))], "GC": [run(CIFAR, "gc", 4, 1, 100)]}}
    (row,) = [cells(line) for line in movement_table(runs).splitlines() if line.startswith("|")][2:]
    assert row == ["4", "FLGC", "400", "1.50 %", "0.25 %", "1.75 %", "0.250", "0.500", "2"]
    assert movement_table({4: {"GC": runs[4]["GC"]}}) == ""
