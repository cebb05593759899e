"""A preset: for each column of the paper's tables that fits a budget, the run that reproduces it.

Presets are TOML files with a `description` and one `[[column]]` for each pair of network and data set of the paper:

    [[column]]
    network = "wide_resnet_28_10"     # the paper's network ...
    dataset = "cifar10"               # ... and data set that this column stands for
    [column.model]                    # fields of ModelConfig but variant, groups
    [column.data]                     # fields of DataConfig but root
    [column.training]                 # fields of TrainingConfig
"""

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from gc2l.cells.cell import Cell, DataConfig, ModelConfig, TrainingConfig
from gc2l.paper import TABLES, reported_rows


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the tables at one preset.

    Attributes:
        network: the paper's network that this stands for.
        dataset: the paper's data set that this stands for.
        template: the cell with the standard convolution and seed 1.
    """

    network: str
    dataset: str
    template: Cell

    def cell(self, variant: str, groups: int, seed: int) -> Cell:
        """The cell of this column with the given convolution and seed."""
        model = replace(self.template.model, variant=variant, groups=groups)
        return replace(self.template, model=model, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named scale of the experiments; attributes: name (the file's), description, columns."""

    name: str
    description: str
    columns: tuple[Column, ...]

    def column(self, *, dataset: str | None = None, network: str | None = None) -> Column:
        """The first column whose own data set and network family (not the paper's) are the ones asked for.

        Raises:
            ValueError: the preset has none.
        """
        for column in self.columns:
            template = column.template
            if dataset in (None, template.data.name) and network in (None, template.model.network):
                return column
        have = ", ".join(f"{c.template.model.network} on {c.template.data.name}" for c in self.columns)
        raise ValueError(
            f"preset {self.name!r} has no {network or 'network'} on {dataset or 'any data'}; it has {have}"
        )

    def claims(self, cell: Cell) -> bool:
        """Whether `cell` is a run of one of the paper's tables at this preset, unchanged."""
        variant, groups = cell.model.variant, cell.model.groups
        return any(
            column.cell(variant, groups, cell.seed).identity == cell.identity
            for column in self.columns
            if (column.network, column.dataset, variant, groups) in _paper_rows()
        )


def read_preset(path: Path) -> Preset:
    """Read one preset file.

    Raises:
        ValueError: a key or value that the configuration does not have; the message names the file.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        _check_keys("the preset", content, {"description", "column"})
        for entry in content["column"]:
            _check_keys("[[column]]", entry, {"network", "dataset", "model", "data", "training"})
        columns = tuple(
            Column(
                network=entry["network"],
                dataset=entry["dataset"],
                template=Cell(
                    preset=path.stem,
                    model=ModelConfig(**{"depth": None} | entry["model"]),
                    data=DataConfig(**entry["data"]),
                    training=TrainingConfig(**_with_tuples(entry["training"])),
                ),
            )
            for entry in content["column"]
        )
        return Preset(name=path.stem, description=content["description"], columns=columns)
    except KeyError as error:
        raise ValueError(f"{path}: the key {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_presets(folder: Path) -> dict[str, Preset]:
    """Read every preset of a folder, by name.

    Raises:
        FileNotFoundError: a folder without presets.
        ValueError: see `read_preset`.
    """
    paths = sorted(folder.glob("*.toml"), key=lambda path: path.stem)  # "mini" before "mini-long"
    presets = {path.stem: read_preset(path) for path in paths}
    if not presets:
        raise FileNotFoundError(f"no preset (*.toml) in {folder}")
    return presets


@cache
def _paper_rows() -> frozenset[tuple[str, str, str, int]]:
    rows = (row for table in TABLES for row in reported_rows(table))
    return frozenset((row.network, row.dataset, row.variant, row.groups) for row in rows)


def _check_keys(where: str, content: dict[str, object], known: set[str]) -> None:
    if unknown := sorted(content.keys() - known):
        raise ValueError(f"{where} has the unknown key {unknown[0]!r}; it may have {', '.join(sorted(known))}")


def _with_tuples(values: dict[str, object]) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
