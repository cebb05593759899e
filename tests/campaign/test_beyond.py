from pathlib import Path

import pytest

from gc2l.campaign.beyond import CONVOLUTIONS, REFERENCE, beyond_cells, beyond_columns
from gc2l.cells import read_presets, table_cells
from gc2l.models import build_model, count_parameters

PRESETS = read_presets(Path(__file__).parents[2] / "experiments" / "presets")


@pytest.mark.parametrize("name", ["digits", "mini"])
def test_every_convolution_has_about_the_parameters_of_the_reference(name):
    preset = PRESETS[name]
    column = beyond_columns(preset)[0]
    grid = beyond_cells(column, preset, (1, 2))
    assert list(grid) == list(CONVOLUTIONS)
    counts = {label: count_parameters(build_model(cells[0].model, 10), 4).total for label, cells in grid.items()}
    budget = counts[REFERENCE]
    # The width goes in steps of 1/4: of 2 an eighth, of 4 a sixteenth, and the parameters in twice that.
    assert all(abs(count / budget - 1) < {"digits": 1 / 8, "mini": 1 / 16}[name] for count in counts.values())
    assert grid[REFERENCE][0].model.width == column.template.model.width
    assert all([cell.seed for cell in cells] == [1, 2] for cells in grid.values())


def test_cells_that_a_table_has_are_not_trained_again():
    preset = PRESETS["digits"]
    grid = beyond_cells(beyond_columns(preset)[0], preset, (1,))
    known = {cell.identity for cell in table_cells(("table3",), preset, (1,))}
    for label in ("GC", "Shuffle", REFERENCE):
        assert grid[label][0].identity in known and grid[label][0].preset == "digits"
    assert {cells[0].preset for label, cells in grid.items() if label not in ("GC", "Shuffle", REFERENCE)} == {"custom"}
    assert len({cells[0].identity for cells in grid.values()}) == len(CONVOLUTIONS)
