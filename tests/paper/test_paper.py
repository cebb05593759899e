import pytest

from gc2l.paper import GROUPS, PARAMETER_DECIMALS, TABLES, reported_rows
from gc2l.variants import VARIANTS


def row(table, network, dataset, variant, groups):
    found = [
        row
        for row in reported_rows(table)
        if (row.network, row.dataset, row.variant, row.groups) == (network, dataset, variant, groups)
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("table", "count"), [("table1", 27), ("table2", 9), ("table3", 48), ("table4", 13)])
def test_every_row_is_there_once(table, count):
    rows = reported_rows(table)
    assert len(rows) == count
    assert len({(row.network, row.dataset, row.variant, row.groups) for row in rows}) == count
    assert {row.table for row in rows} == {table}


def test_values_checked_by_hand():
    two_level = row("table1", "wide_resnet_28_10", "cifar10", "gc2l", 16)
    assert (two_level.parameters_millions, two_level.error_percent) == (2.54, 4.95)
    assert row("table1", "wide_resnet_34_2", "imagenet", "gc", 16).error_percent == 43.18
    assert row("table1", "wide_resnet_28_10", "cifar100", "sc", 1).error_percent == 18.95
    wide = row("table2", "wide_resnet_28_80", "cifar10", "gc2l", 4)
    assert (wide.parameters_millions, wide.wall_clock_seconds, wide.error_percent) == (584.0, 72699, 4.08)
    assert row("table3", "wide_resnet_28_10", "cifar10", "shuffle", 2).error_percent == 4.0
    assert row("table3", "wide_resnet_34_2", "imagenet", "flgc", 16).error_percent == 62.02
    assert row("table4", "mobilenet_v2", "imagenet", "sc", 1).parameters_millions == 3.5


def test_only_table_2_has_wall_clock_times():
    for table in TABLES:
        assert all((row.wall_clock_seconds is not None) == (table == "table2") for row in reported_rows(table))


def test_variants_and_groups_are_known():
    for table in TABLES:
        for row in reported_rows(table):
            assert row.variant in VARIANTS
            assert row.groups in GROUPS
            assert round(row.parameters_millions, PARAMETER_DECIMALS[table]) == row.parameters_millions


def test_tables_1_and_3_agree_where_they_overlap():
    first = {
        (r.network, r.dataset, r.variant, r.groups): (r.parameters_millions, r.error_percent)
        for r in reported_rows("table1")
    }
    third = {
        (r.network, r.dataset, r.variant, r.groups): (r.parameters_millions, r.error_percent)
        for r in reported_rows("table3")
    }
    shared = first.keys() & third.keys()
    assert len(shared) == 24
    assert all(first[key] == third[key] for key in shared)


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="table='table5' is unknown; choose one of 'table1'"):
        reported_rows("table5")
