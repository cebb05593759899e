"""What the cells of a grid are called in what is printed about them."""

from collections.abc import Sequence
from dataclasses import asdict

from gc2l.cells import Cell


def cell_labels(cells: Sequence[Cell]) -> dict[str, str]:
    """The label of each of `cells`, by the cell's identity.

    A label is the cell's slug. Where an earlier cell has the same slug, as when only their training differs, the fields
    in which it differs from the first one follow: "digits-wide_resnet_cifar-10x2-flgc-n4-seed1 (training.epochs=30)".
    """
    first: dict[str, dict[str, object]] = {}
    labels = {}
    for cell in cells:
        fields = _fields(cell)
        usual = first.setdefault(cell.slug, fields)
        other = [f"{name}={value}" for name, value in fields.items() if value != usual[name]]
        labels[cell.identity] = f"{cell.slug} ({', '.join(other)})" if other else cell.slug
    return labels


def _fields(cell: Cell) -> dict[str, object]:
    """Everything that a cell's identity depends on, by the names that the command line has for it."""
    sections = asdict(cell)
    return {
        f"{section}.{name}": value
        for section in ("model", "data", "training")
        for name, value in sections[section].items()
        if (section, name) != ("data", "root")
    }
