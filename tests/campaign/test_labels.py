from dataclasses import replace
from pathlib import Path

from small_run import cell

from gc2l.campaign.ablations import ABLATIONS, ablation_cells
from gc2l.campaign.labels import cell_labels
from gc2l.cells import read_preset

MINI = read_preset(Path(__file__).parents[2] / "experiments" / "presets" / "mini.toml")


def test_a_slug_is_enough_where_no_other_cell_has_it():
    cells = [replace(cell(), seed=seed) for seed in (1, 2)]
    assert list(cell_labels(cells).values()) == [one.slug for one in cells]


def test_cells_with_one_slug_are_told_apart_by_what_the_first_has_not():
    plain, other = cell(epochs=3), cell(epochs=9, undecayed="coarse_level")
    assert cell_labels([plain, other]) == {
        plain.identity: plain.slug,
        other.identity: f"{plain.slug} (training.epochs=9, training.undecayed=coarse_level)",
    }


def test_every_cell_of_the_ablations_has_a_label_of_its_own():
    column = MINI.column(network="wide_resnet_cifar")
    cells = [
        one
        for ablation in ABLATIONS.values()
        for n in ablation.groups
        for seeds in ablation_cells(ablation, column, MINI, n, (1, 2)).values()
        for one in seeds
    ]
    labels = cell_labels(cells)
    assert len(set(labels.values())) == len({one.identity for one in cells})
    assert (
        sum("(" in label for label in labels.values()) == 2 * 9
    )  # both seeds: undecayed thrice, rate twice, epochs four times
