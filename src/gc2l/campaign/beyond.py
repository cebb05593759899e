"""The grid `beyond`: convolutions that the paper does not compare, each in a network of about the same parameters."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from gc2l.campaign.arguments import own_cell
from gc2l.cells import Cell, Column, Preset
from gc2l.data import dataset_info
from gc2l.models import model_parameter_count

GROUPS = 4
"""n of every convolution."""

REFERENCE = "GC-2L, m = 1"
"""The convolution whose parameters at the preset's width are the budget."""

CONVOLUTIONS: Mapping[str, tuple[str, dict[str, Any]]] = MappingProxyType(
    {
        "GC": ("gc", {}),
        "Shuffle": ("shuffle", {}),
        REFERENCE: ("gc2l", {}),
        "GC-2L, m = 2": ("gc2l", {"coarse_channels": 2}),
        "GC-2L, m = 4": ("gc2l", {"coarse_channels": 4}),
        "SCC, overlap 0.5": ("scc", {"overlap": 0.5}),
        "GC-2L, overlap 0.25": ("gc2l", {"overlap": 0.25}),
        "GC-2L, shuffled": ("gc2l_shuffle", {}),
    }
)
"""Variant and options of each convolution, by the label in the table."""


def beyond_columns(preset: Preset) -> list[Column]:
    """The columns of a preset that the grid is for: the wide residual networks for CIFAR, whose width is free."""
    return [column for column in preset.columns if column.template.model.network == "wide_resnet_cifar"]


def beyond_cells(column: Column, preset: Preset, seeds: Iterable[int]) -> dict[str, list[Cell]]:
    """The cells of one column by label of the convolution.

    Those that a table of the paper has too keep the preset's name, and so their records; the others are
    `gc2l.campaign.arguments.CUSTOM`.
    """
    seeds = list(seeds)
    variant, options = CONVOLUTIONS[REFERENCE]
    budget = _parameters(_cell(column, variant, options, column.template.model.width))
    grid: dict[str, list[Cell]] = {}
    for label, (variant, options) in CONVOLUTIONS.items():
        # From narrow to wide: the nearest is next to where the budget would stand.
        candidates = [_cell(column, variant, options, width) for width in _widths(column.template.model.width)]
        place = bisect_left(candidates, budget, key=_parameters)
        nearest = min(candidates[max(0, place - 1) : place + 1], key=lambda cell: abs(_parameters(cell) - budget))
        grid[label] = [own_cell(replace(nearest, seed=seed), preset) for seed in seeds]
    return grid


def _cell(column: Column, variant: str, options: dict[str, Any], width: float) -> Cell:
    cell = column.cell(variant, GROUPS, seed=1)
    return replace(cell, model=replace(cell.model, width=width, **options))


def _widths(width: float) -> list[float]:
    """Widen factors from half to one and a half of `width` with which n divides the 16 k channels of stage one."""
    step = GROUPS / 16
    return [step * i for i in range(max(1, round(0.5 * width / step)), round(1.5 * width / step) + 1)]


def _parameters(cell: Cell) -> int:
    return model_parameter_count(cell.model, dataset_info(cell.data.name).num_classes).total
