from pathlib import Path

import pytest

from gc2l.cells import read_preset, table_cells
from gc2l.paper import TABLES, reported_rows

PRESETS = Path(__file__).parents[2] / "experiments" / "presets"
DIGITS, PAPER = (read_preset(PRESETS / f"{name}.toml") for name in ("digits", "paper"))


def content(cells):
    return [(cell.data.name, cell.model.network, cell.model.variant, cell.model.groups, cell.seed) for cell in cells]


@pytest.mark.parametrize(("table", "count"), [("table1", 27), ("table2", 9), ("table3", 48), ("table4", 13)])
def test_the_paper_preset_has_every_row_it_can_train(table, count):
    cells = table_cells([table], PAPER, [1])
    families = {
        "wide_resnet_28_10": "wide_resnet_cifar",
        "wide_resnet_34_2": "wide_resnet_imagenet",
        "mobilenet_v2": "mobilenet_v2",
        **{f"wide_resnet_28_{k}": "wide_resnet_cifar" for k in (40, 60, 80)},
    }
    rows = reported_rows(table)
    assert content(cells) == [(row.dataset, families[row.network], row.variant, row.groups, 1) for row in rows]
    assert len(cells) == count


def test_the_digits_preset_has_its_columns_rows():
    pairs = [("sc", 1), *((variant, n) for n in (2, 4, 8, 16) for variant in ("gc", "gc2l"))]
    expected = [("digits", "wide_resnet_cifar", variant, n, 1) for variant, n in pairs]
    assert content(table_cells(["table1"], DIGITS, [1])) == expected
    mobile = table_cells(["table4"], DIGITS, [1])
    assert len(mobile) == 13
    assert {(cell.data.name, cell.data.image_size, cell.model.width) for cell in mobile} == {("digits", 32, 0.25)}


def test_cells_that_tables_share_appear_once():
    cells = table_cells(TABLES, PAPER, [1])
    # Tables 1 and 3 share GC and GC-2L, four numbers of groups on three data sets each.
    assert len(cells) == len({cell.identity for cell in cells}) == 27 + 9 + 48 - 2 * 4 * 3 + 13


def test_a_stopped_grid_is_even_over_the_rows():
    cells = table_cells(["table1"], DIGITS, [1, 2, 3])
    assert [cell.seed for cell in cells] == [1] * 9 + [2] * 9 + [3] * 9


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="table='table5'"):
        table_cells(["table5"], DIGITS, [1])
