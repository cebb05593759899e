from dataclasses import replace
from pathlib import Path

import pytest

from gc2l.campaign.ablations import ABLATIONS, ablation_cells
from gc2l.cells import read_presets, table_cells
from gc2l.models import build_model

PRESETS = read_presets(Path(__file__).parents[2] / "experiments" / "presets")


@pytest.mark.parametrize("preset", ["digits", "mini"])
@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
def test_every_cell_is_another_run_of_a_network_that_can_be_built(ablation, preset):
    preset = PRESETS[preset]
    column = preset.column(network="wide_resnet_cifar")
    known = {cell.identity for cell in table_cells(("table1", "table3"), preset, (1, 2))}
    for n in ablation.groups:
        grid = ablation_cells(ablation, column, preset, n, (1, 2))
        assert list(grid) == list(ablation.changes) and ablation.reference in grid
        cells = [cell for found in grid.values() for cell in found]
        assert len({cell.identity for cell in cells}) == len(cells)
        # What the tables have too is not trained again, all else bears another name.
        assert {cell.identity for cell in cells if cell.preset == preset.name} == {
            cell.identity for cell in cells if cell.identity in known
        }
        assert {label for label, found in grid.items() if found[0].preset == preset.name} == {
            label for label in grid if label in ("GC", "GC-2L", "Shuffle", "FLGC")
        }
        for first, second in grid.values():
            assert (first.seed, second.seed, first.model.groups) == (1, 2, n)
            build_model(first.model, 10)


@pytest.mark.parametrize(
    ("label", "short"),
    [("three times the epochs", "FLGC"), ("frozen, three times the epochs", "frozen at its random start")],
)
def test_a_lengthened_run_has_three_times_the_epochs_and_nothing_else(label, short):
    column, changes = PRESETS["mini"].column(dataset="cifar10"), ABLATIONS["assignment"].changes
    cell = changes[short].cell(column, 4)
    assert cell.training.epochs == column.template.training.epochs
    longer = replace(cell.training, epochs=3 * cell.training.epochs)
    assert changes[label].cell(column, 4) == replace(cell, training=longer)
