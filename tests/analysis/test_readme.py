from dataclasses import replace

import pytest
from analysis.claims_evidence import column, evidence, run
from analysis.samples import CIFAR, COMPUTED, IMAGENET, PRESETS
from records.samples import record

from gc2l.analysis import comparison_table
from gc2l.analysis.claims import Finding, evaluate
from gc2l.analysis.claims.verdict import Claimed, Part, Verdict
from gc2l.analysis.readme import (
    contradicted_parts,
    cost_table,
    coverage,
    error_grid,
    replace_block,
    verdict_summary,
    verdict_table,
)
from gc2l.cells import DataConfig, Preset

RECORDS = [
    record(CIFAR.cell("sc", 1, 1), errors=400),
    record(CIFAR.cell("gc", 2, 1), errors=500),
    record(CIFAR.cell("gc", 2, 2), errors=520),
    record(CIFAR.cell("gc2l", 2, 1), errors=None),
    record(IMAGENET.cell("sc", 1, 1), errors=3000),
]


def table(name):
    return comparison_table(name, PRESETS, RECORDS, computed=COMPUTED)


def cells(grid):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in grid.splitlines()]


def test_a_block_is_replaced_and_the_rest_stays():
    text = "before\n<!-- numbers -->\nold\n<!-- end of numbers -->\nafter\n"
    new = replace_block(text, "numbers", "new")
    assert new == "before\n<!-- numbers -->\n\nnew\n\n<!-- end of numbers -->\nafter\n"
    assert replace_block(new, "numbers", "new") == new


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- numbers -->\n",
        "<!-- end of numbers -->\n<!-- numbers -->\n",
        "<!-- numbers -->\n<!-- numbers -->\n<!-- end of numbers -->",
    ],
)
def test_missing_marks_are_refused(text):
    with pytest.raises(ValueError, match="<!-- numbers --> and <!-- end of numbers --> must be there once"):
        replace_block(text, "numbers", "new")


def test_errors_of_the_paper_and_of_each_scale_by_n():
    grid = cells(error_grid(table("table1")))
    assert grid[0] == ["test error in %", "", "n = 1", "n = 2", "n = 4", "n = 8", "n = 16"]
    assert grid[2:5] == [
        ["paper: WideResNet-28-10 on CIFAR-10", "SC", "4.19", "", "", "", ""],
        ["", "GC", "", "4.61", "5.32", "6.54", "8.33"],
        ["", "GC-2L", "", "4.12", "4.34", "4.79", "4.95"],
    ]
    # Errors of 5.00 and 5.20 %; t of one degree of freedom is 12.706.
    assert grid[5:] == [
        ["`tiny`: WideResNet-10-2 on Digits, 1 epoch, k = 1 to 2", "SC", "4.00", "", "", "", ""],
        ["", "GC", "", "5.10 ± 1.27", "", "", ""],
        ["", "GC-2L", "", "diverged", "", "", ""],
    ]


def test_coverage_counts_cells_seeds_and_diverged_runs():
    (row,) = cells(coverage([table("table4")]))[2:]
    assert row[:2] == ["Table 4", "`tiny`"]
    assert row[3:] == ["MobileNetV2 on ImageNet", "1 of 13", "1", "0", "seed 1 on cpu, 32-true"]
    (row,) = cells(coverage([table("table1")]))[2:]
    assert row[4:] == ["3 of 9", "1 to 2", "1", "seeds 1, 2 on cpu, 32-true"]
    assert coverage([]).count("\n") <= 1


def test_cost_is_summed():
    (row,) = cells(cost_table(RECORDS))[2:]
    assert row == ["`tiny`", "Example 3000, 2 cores", "cpu, 32-true, eager", "1, 2", "5", f"{5 * 12.5 / 3600:.2f}"]


def test_every_claim_has_its_verdict_and_what_speaks_against_it():
    place = column()
    wrong = {("gc", 2): [100, 110, 120], ("gc2l", 2): [130, 141, 149], ("gc", 4): [100, 110, 120]}
    runs = [run(place, *key, seed, errors) for key, found in wrong.items() for seed, errors in enumerate(found, 1)]
    findings = evaluate(evidence(place, runs))
    verdicts = {row[0]: row[2] for row in cells(verdict_table(findings))[2:]}
    short = {row[0]: row[2:] for row in cells(verdict_summary(findings))}
    assert short[""] == ["`tiny`", "computed or measured"]
    assert short["A1"] == ["contradicted", ""]
    assert short["E1"] == ["", "not yet tested"]
    assert list(verdicts) == [claim.id for claim, _ in findings]
    assert verdicts["A1"] == "**contradicted** (`tiny` WideResNet-10-2 on Digits, 3 seeds)"
    assert verdicts["A2"] == "**not yet tested** (`tiny` WideResNet-10-2 on Digits, 0 seeds)"
    assert verdicts["A5"] == "**reproduced** (exact)"
    assert verdicts["E1"] == "not yet tested"
    # 3.0, 3.1 and 2.9 points: half the interval is 4.302653 * 0.1 / sqrt(3).
    assert contradicted_parts(findings) == (
        "- A1 (`tiny` WideResNet-10-2 on Digits, 3 seeds), n = 2: GC-2L - GC: 3.00 (2.75 to 3.25) points, claimed < 0. "
        "The claim as a whole: contradicted."
    )
    assert contradicted_parts(evaluate(evidence(place, []))) == "None."


def test_a_measured_claim_says_how_many_parts_are_open_and_what_is_missing():
    times = [
        Part(name=f"k = {k}", verdict=verdict, claimed=Claimed(">", 1), unit="times", effect=1.5)
        for k, verdict in ((40, Verdict.INCONCLUSIVE), (60, Verdict.REPRODUCED), (80, Verdict.INCONCLUSIVE))
    ]
    (claim, _), *_ = evaluate(evidence(column(), []))

    def verdict(parts, missing):
        found = Finding(parts=tuple(parts), missing=missing, basis="measured")
        return cells(verdict_table([(claim, (found,))]))[-1][2]

    assert verdict(times, "k = 10") == "**inconclusive** (measured; 2 of 3 parts undecided; missing: k = 10)"
    assert verdict(times[1:2], "") == "**reproduced** (measured)"


def test_verdicts_that_differ_name_what_they_are_of():
    """Columns of one preset with one network are told apart by their images, and those of one data set by networks."""
    worse, better = (130, 141, 149), (100, 110, 120)

    def of_a1(other):
        """The findings on two columns, of which the first contradicts A1."""
        runs = [
            run(place, variant, n, seed, errors)
            for place, wrong in ((CIFAR, {"gc": better, "gc2l": worse}), (other, {"gc": worse, "gc2l": better}))
            for variant, of_seed in wrong.items()
            for n in (2, 4, 8, 16)
            for seed, errors in enumerate(of_seed, 1)
        ]
        presets = {"tiny": Preset(name="tiny", description="for tests", columns=(CIFAR, other))}
        found = evaluate(evidence(CIFAR, runs, presets=presets))
        return [entry for entry in found if entry[0].id == "A1"]

    def verdict(grid):
        return cells(grid)[-1][2]

    images = of_a1(
        replace(CIFAR, dataset="cifar100", template=replace(CIFAR.template, data=DataConfig(name="cifar100")))
    )
    assert verdict(verdict_summary(images)) == "Digits: contradicted; CIFAR-100: reproduced"
    assert verdict(verdict_table(images)) == (
        "**contradicted** (`tiny` WideResNet-10-2 on Digits, 3 seeds); "
        "**reproduced** (`tiny` WideResNet-10-2 on CIFAR-100, 3 seeds)"
    )
    where = {line.split(",")[0] for line in contradicted_parts(images).splitlines()}
    assert where == {"- A1 (`tiny` WideResNet-10-2 on Digits"}
    networks = of_a1(replace(CIFAR, template=replace(CIFAR.template, model=replace(CIFAR.template.model, width=4))))
    assert verdict(verdict_summary(networks)) == (
        "WideResNet-10-2 on Digits: contradicted; WideResNet-10-4 on Digits: reproduced"
    )
