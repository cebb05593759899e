from dataclasses import replace

import pytest
from analysis.samples import CIFAR
from records.samples import record

from gc2l.analysis import RunIndex


def test_runs_are_found_by_configuration_and_sorted_by_seed():
    cells = [CIFAR.cell("gc", 2, seed) for seed in (3, 1, 2)]
    index = RunIndex(record(cell) for cell in [*cells, CIFAR.cell("gc", 4, 1), CIFAR.cell("gc2l", 2, 1)])
    assert [(run.seed, run.identity) for run in index.runs(CIFAR, "gc", 2)] == [
        (cell.seed, cell.identity) for cell in sorted(cells, key=lambda cell: cell.seed)
    ]
    assert index.runs(CIFAR, "gc", 8) == ()


def test_changed_runs_and_other_presets_are_left_out():
    cell = CIFAR.cell("gc", 2, 1)
    longer = replace(cell, training=replace(cell.training, epochs=2))
    index = RunIndex([record(longer), record(replace(cell, preset="other"))])
    assert index.runs(CIFAR, "gc", 2) == ()


def test_the_same_run_twice_is_an_error():
    cell = CIFAR.cell("gc", 2, 1)
    with pytest.raises(ValueError, match=f"two records of preset 'tiny' have the identity {cell.identity}"):
        RunIndex([record(cell), record(cell, errors=1)])
