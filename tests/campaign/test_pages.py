from dataclasses import replace
from pathlib import Path

from records import samples

from gc2l.campaign.ablations import ABLATIONS
from gc2l.campaign.beyond import REFERENCE, beyond_cells, beyond_columns
from gc2l.campaign.pages import ablations_page, beyond_page, grid_pages
from gc2l.cells import read_presets
from gc2l.records import RunStore

PRESETS = read_presets(Path(__file__).parents[2] / "experiments" / "presets")
DIGITS = PRESETS["digits"]
COLUMN = beyond_columns(DIGITS)[0]


def row(page, label):
    return next(line for line in page.splitlines() if f"| {label} " in line)


def test_seeds_of_which_only_cells_of_the_tables_have_records_are_shown(tmp_path):
    store = RunStore(tmp_path)
    for seed in (1, 2, 3):
        known = COLUMN.cell("gc2l", 16, seed)
        store.save(known, samples.record(known))
    only = {"coarse_level": replace(ABLATIONS["coarse_level"], groups=(16,))}
    page = ablations_page(DIGITS, COLUMN, store, ablations=only)
    assert row(page, "GC-2L").endswith("|       3 |") and row(page, "m = 2").endswith("|       0 |")
    for cell in beyond_cells(COLUMN, DIGITS, (1, 2))[REFERENCE]:
        store.save(cell, samples.record(cell))
    assert row(beyond_page(DIGITS, store), REFERENCE).endswith("|       2 |")


def test_the_pages_that_there_are_follow_from_the_records(tmp_path):
    store = RunStore(tmp_path / "runs")
    assert grid_pages(PRESETS.values(), store, tmp_path) == {}
    names = ("ablations/digits.md", "ablations/mini-cifar100.md", "beyond/digits.md")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    pages = grid_pages(PRESETS.values(), store, tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in pages} == set(names)
    assert "WideResNet-10-4 on CIFAR-100" in pages[tmp_path / "ablations/mini-cifar100.md"]
