"""The grid `ablations`: GC-2L with other coarse levels, and what FLGC owes to learning its groups."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gc2l.campaign.arguments import own_cell
from gc2l.cells import Cell, Column, Preset


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one run of an ablation has that its column does not.

    Attributes:
        variant: the convolution.
        model, training: fields of `gc2l.cells.ModelConfig` and `gc2l.cells.TrainingConfig`.
        lengthened: factor of the number of epochs.
    """

    variant: str
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    lengthened: int = 1

    def cell(self, column: Column, groups: int) -> Cell:
        """The cell of `column` with the change, and seed 1."""
        cell = column.cell(self.variant, groups, seed=1)
        epochs = cell.training.epochs * self.lengthened
        return replace(
            cell,
            model=replace(cell.model, **self.model),
            training=replace(cell.training, **self.training, epochs=epochs),
        )


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Runs that are compared with one another.

    Attributes:
        title: of the table.
        groups: each n for which the runs are made.
        reference: the label of the run that the others are compared with.
        changes: the runs by label, in the order of the table.
    """

    title: str
    groups: tuple[int, ...]
    reference: str
    changes: Mapping[str, Change]


ABLATIONS: Mapping[str, Ablation] = MappingProxyType(
    {
        "coarse_level": Ablation(
            title="The coarse level of GC-2L",
            groups=(16,),
            reference="GC-2L",
            changes={
                "GC": Change(variant="gc"),
                "GC-2L": Change(variant="gc2l"),
                "r and C start with fan_in": Change(variant="gc2l", model={"coarse_start": "fan_in"}),
                "C starts as 0": Change(variant="gc2l", model={"coarse_start": "zero"}),
                "m = 2": Change(variant="gc2l", model={"coarse_channels": 2}),
                "m = 4": Change(variant="gc2l", model={"coarse_channels": 4}),
                "no weight decay on r and C": Change(variant="gc2l", training={"undecayed": "coarse_level"}),
                "coarse level in 3 x 3 layers only": Change(variant="gc2l", model={"coarse_level": "3x3"}),
                "coarse level in 1 x 1 layers only": Change(variant="gc2l", model={"coarse_level": "1x1"}),
                "r is the mean, not learned": Change(variant="gc2l", model={"restriction": "mean"}),
            },
        ),
        "assignment": Ablation(
            title="The assignment of FLGC",
            groups=(4, 16),
            reference="FLGC",
            changes={
                "GC": Change(variant="gc"),
                "Shuffle": Change(variant="shuffle"),
                "FLGC": Change(variant="flgc"),
                "frozen at its random start": Change(variant="flgc", model={"assignment": "frozen"}),
                "starts as GC's groups": Change(variant="flgc", model={"start": "aligned"}),
                "frozen at GC's groups": Change(variant="flgc", model={"assignment": "frozen", "start": "aligned"}),
                "S and T learn ten times as fast": Change(variant="flgc", training={"assignment_rate": 10.0}),
                "no weight decay on S and T": Change(variant="flgc", training={"undecayed": "assignment"}),
                "three times the epochs": Change(variant="flgc", lengthened=3),
                "frozen, three times the epochs": Change(variant="flgc", model={"assignment": "frozen"}, lengthened=3),
            },
        ),
    }
)
"""The ablations by the name of their files."""


def ablation_cells(ablation: Ablation, column: Column, preset: Preset, groups: int, seeds: Iterable[int]) -> dict:
    """The cells of one column and number of groups, a list with one for each seed, by label.

    Those that `preset` has too keep its name, and so their records; the others are `gc2l.campaign.arguments.CUSTOM`.
    """
    seeds = list(seeds)
    made = {label: change.cell(column, groups) for label, change in ablation.changes.items()}
    return {label: [own_cell(replace(cell, seed=seed), preset) for seed in seeds] for label, cell in made.items()}
