"""The cells of a table: the paper's own rows, at a preset's scale."""

from collections.abc import Iterable

from gc2l.cells.cell import Cell
from gc2l.cells.preset import Preset
from gc2l.paper import reported_rows


def table_cells(tables: Iterable[str], preset: Preset, seeds: Iterable[int]) -> list[Cell]:
    """The cells that `preset` has for `tables`, each once, seed by seed so that a stopped grid is even.

    A row of the paper becomes a cell when the preset has a column for its network and data set.
    """
    columns = {(column.network, column.dataset): column for column in preset.columns}
    rows = [row for table in tables for row in reported_rows(table) if (row.network, row.dataset) in columns]
    cells = [columns[row.network, row.dataset].cell(row.variant, row.groups, seed) for seed in seeds for row in rows]
    return list({cell.identity: cell for cell in cells}.values())
