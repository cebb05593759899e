import math
import statistics
from dataclasses import replace

import pytest
from analysis.samples import CIFAR, COMPUTED, IMAGENET, PRESETS, TINY
from records.samples import record

from gc2l.analysis import comparison_table
from gc2l.paper import TABLES, reported_rows


def made(table, records, presets=PRESETS):
    return comparison_table(table, presets, records, computed=COMPUTED)


def reproduction(table, network, variant, groups, dataset="cifar10", position=0):
    (row,) = (row for row in table.rows if (row.network, row.variant, row.groups) == (network, variant, groups))
    (entry,) = (entry for entry in row.entries if entry.dataset == dataset)
    return entry.reproductions[position]


@pytest.mark.parametrize("name", TABLES)
def test_every_printed_number_is_there_in_the_papers_order(name):
    table = made(name, [])
    printed = [
        (row.network, entry.dataset, row.variant, row.groups, row.reported_millions, entry.reported_percent)
        for row in table.rows
        for entry in row.entries
    ]
    assert printed == [
        (row.network, row.dataset, row.variant, row.groups, row.parameters_millions, row.error_percent)
        for row in reported_rows(name)
    ]
    assert table.scales == ()


@pytest.mark.parametrize(("name", "rows"), [("table1", 18), ("table2", 9), ("table3", 32), ("table4", 13)])
def test_cifar_10_and_100_share_a_row(name, rows):
    table = made(name, [])
    assert len(table.rows) == rows
    for row in table.rows:
        both = name in ("table1", "table3") and row.network == "wide_resnet_28_10"
        assert len(row.entries) == (2 if both else 1)
        assert row.computed == COMPUTED[row.network, row.variant, row.groups]


def test_means_and_intervals_come_from_the_records():
    errors = [400, 431, 420, 455]
    records = [record(CIFAR.cell("gc2l", 4, seed), errors=count) for seed, count in enumerate(errors, start=1)]
    found = reproduction(made("table1", records), "wide_resnet_28_10", "gc2l", 4)
    percent = [count / 100 for count in errors]
    half = (
        3.182446305284263 * statistics.stdev(percent) / math.sqrt(4)
    )  # the quantile for 3 degrees, from a printed table
    assert (found.finished, found.diverged) == (4, 0)
    assert found.error_percent.value == pytest.approx(statistics.mean(percent))
    assert found.error_percent.interval.low == pytest.approx(statistics.mean(percent) - half)
    assert found.error_percent.interval.high == pytest.approx(statistics.mean(percent) + half)


def test_diverged_runs_are_counted_and_not_averaged():
    records = [record(CIFAR.cell("gc", 2, seed), errors=errors) for seed, errors in ((1, 500), (2, None), (3, 700))]
    found = reproduction(made("table3", records), "wide_resnet_28_10", "gc", 2)
    assert (found.finished, found.diverged, found.error_percent.value) == (2, 1, pytest.approx(6.0))
    lost = made("table3", [record(CIFAR.cell("gc", 2, 1), errors=None)])
    assert reproduction(lost, "wide_resnet_28_10", "gc", 2).error_percent is None


def test_a_row_without_runs_beside_rows_with_runs():
    table = made("table1", [record(CIFAR.cell("gc", 2, 1))])
    empty = reproduction(table, "wide_resnet_28_10", "gc", 4)
    assert (empty.error_percent, empty.finished, empty.diverged) == (None, 0, 0)


def test_only_columns_with_records_in_the_table_are_shown():
    records = [record(CIFAR.cell("gc", 2, 1)), record(IMAGENET.cell("gc", 2, 1))]
    assert [scale.column for scale in made("table1", records).scales] == [CIFAR]
    assert [scale.column for scale in made("table4", records).scales] == [IMAGENET]
    assert made("table2", records).scales == ()


def test_presets_stand_side_by_side():
    other = replace(CIFAR, template=replace(CIFAR.template, preset="other"))
    presets = PRESETS | {"other": replace(TINY, name="other", columns=(other,))}
    records = [record(CIFAR.cell("sc", 1, 1), errors=100), record(other.cell("sc", 1, 1), errors=200)]
    table = made("table1", records, presets)
    means = [reproduction(table, "wide_resnet_28_10", "sc", 1, position=i).error_percent.value for i in (0, 1)]
    assert means == pytest.approx([1.0, 2.0])


def test_a_row_without_computed_parameters_is_an_error():
    computed = {key: value for key, value in COMPUTED.items() if key != ("mobilenet_v2", "gc", 8)}
    with pytest.raises(ValueError, match=r"no parameters for \('mobilenet_v2', 'gc', 8\)"):
        comparison_table("table4", PRESETS, [], computed=computed)


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="table='figure5'"):
        made("figure5", [])
