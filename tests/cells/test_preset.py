from dataclasses import replace
from pathlib import Path

import pytest

from gc2l.cells import read_preset, read_presets

PRESETS = Path(__file__).parents[2] / "experiments" / "presets"

GOOD = """
description = "a test"
[[column]]
network = "wide_resnet_28_10"
dataset = "cifar10"
model = { depth = 10, width = 2 }
data = { name = "digits" }
training = { epochs = 3, milestones = [1, 2] }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_of_the_repository_loads(path):
    preset = read_preset(path)
    assert preset.name == path.stem
    assert preset.description
    assert preset.columns
    for column in preset.columns:
        assert column.template.preset == path.stem
        assert (column.template.model.variant, column.template.seed) == ("sc", 1)
        assert preset.claims(column.cell("gc2l", 4, seed=7))


def test_all_presets_are_read_by_name():
    assert {"digits", "mini", "paper", "short"} <= set(read_presets(PRESETS))


def test_a_folder_without_presets_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no preset"):
        read_presets(tmp_path)


def test_a_column_makes_cells(tmp_path):
    preset = read_preset(written(tmp_path, GOOD))
    cell = preset.column(dataset="digits").cell("gc", 4, seed=5)
    assert (cell.preset, cell.model.variant, cell.model.groups, cell.seed) == ("tiny", "gc", 4, 5)
    assert (cell.model.depth, cell.model.width, cell.training.milestones) == (10, 2, (1, 2))
    assert preset.claims(cell)
    for other in ({"groups": 3}, {"variant": "gc2l_shuffle"}, {"variant": "scc", "overlap": 0.5}):
        assert not preset.claims(replace(cell, model=replace(cell.model, **other))), "no table has it"
    assert not preset.claims(replace(cell, training=replace(cell.training, epochs=4)))
    with pytest.raises(ValueError, match="'tiny' has no mobilenet_v2 on any data"):
        preset.column(network="mobilenet_v2")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('description = "a test"', "", "description"),
        ('network = "wide_resnet_28_10"', "", "network"),
        ("training = { epochs = 3, milestones = [1, 2] }", "", "training"),
        ("epochs = 3", "epoch = 3", "epoch"),
        ("epochs = 3", 'epochs = "3"', r"training\.epochs='3'"),
        ("epochs = 3", "epochs = 0", r"training\.epochs=0"),
        ("depth = 10", "deep = 10", "deep"),
        ('name = "digits"', 'name = "mnist"', r"data\.name='mnist'"),
        ('dataset = "cifar10"', 'dataset = "cifar10"\nloader = 1', "loader"),
        ('description = "a test"', 'description = "a test"\nauthor = "me"', "author"),
        ("[[column]]", "[[column", "line 3"),
    ],
)
def test_errors_name_the_file_and_the_key(tmp_path, old, new, key):
    assert old in GOOD
    with pytest.raises(ValueError, match=rf"tiny\.toml: .*{key}"):
        read_preset(written(tmp_path, GOOD.replace(old, new)))
