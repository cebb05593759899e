import os
from dataclasses import replace

import pytest
from records.samples import record

from gc2l.cells import Cell, TrainingConfig
from gc2l.files import write_checked
from gc2l.records import RunStore

CELL = Cell(preset="tiny", training=TrainingConfig(epochs=3))
OTHER = replace(CELL, seed=2)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def test_what_is_saved_is_found(store):
    assert store.find(CELL) is None
    path = store.save(CELL, record(CELL))
    assert path == store.path(CELL) == store.folder / "tiny" / f"{CELL.slug}-{CELL.identity}.json"
    assert store.find(CELL) == record(CELL)
    assert store.find(OTHER) is None


def test_all_is_sorted_and_filtered_by_preset(store):
    assert store.all() == []
    elsewhere = replace(CELL, preset="big")
    for cell in (OTHER, CELL, elsewhere):
        store.save(cell, record(cell))
    assert [(run.preset, run.seed) for run in store.all()] == [("big", 1), ("tiny", 1), ("tiny", 2)]
    assert [run.seed for run in store.all("tiny")] == [1, 2]
    assert store.all("none") == []


@pytest.mark.parametrize("wrong", [OTHER, replace(CELL, preset="big")])
def test_a_record_of_another_cell_is_not_saved(store, wrong):
    with pytest.raises(ValueError, match="does not belong to the cell"):
        store.save(CELL, record(wrong))
    assert not store.folder.exists()


def test_an_unreadable_file_is_named_with_the_remedy(store):
    path = store.save(CELL, record(CELL))
    path.write_text(path.read_text()[:100])
    for read in (lambda: store.find(CELL), store.all):
        with pytest.raises(ValueError, match="is no valid record") as caught:
            read()
        assert str(path) in str(caught.value)
        assert "delete it to run this cell again" in str(caught.value)


def test_a_file_under_another_cells_name_is_refused(store):
    store.save(CELL, record(CELL))
    write_checked(store.path(OTHER), store.path(CELL).read_text())
    store.path(CELL).unlink()
    for read in (lambda: store.find(OTHER), store.all):
        with pytest.raises(ValueError, match="its path says otherwise"):
            read()


def test_a_crash_while_saving_leaves_the_old_record(store, monkeypatch):
    store.save(CELL, record(CELL, errors=1))

    def crash(_: int) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="power cut"):
        store.save(CELL, record(CELL, errors=2))
    assert store.all() == [record(CELL, errors=1)]
