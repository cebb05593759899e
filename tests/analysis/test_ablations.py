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
