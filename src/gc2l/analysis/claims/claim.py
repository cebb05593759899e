"""A claim, the evidence for and against it, and the findings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gc2l.analysis.claims.network_approximation import Approximation
from gc2l.analysis.claims.verdict import Part, Verdict, combine
from gc2l.analysis.selection import RunIndex, Scale
from gc2l.cells import Preset
from gc2l.paper import reported_rows
from gc2l.records import InferenceRecord, Record, ScalingRecord, WireRecord

Convolution = tuple[str, int]
"""A variant and its number of groups."""


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """The difference between two ways of computing the same layer in float64.

    Attributes:
        name: the layer and the two ways.
        value: largest absolute difference, divided by the largest absolute value.
        tolerance: the largest difference that rounding explains.
    """

    name: str
    value: float
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The evidence for and against all claims.

    Attributes:
        presets: the scales, by name.
        index: the records.
        parameters: the totals of the paper's own networks, by network, variant and groups.
        deviations: measured for the exact claims, by the claim's id.
        approximations: of trained SC networks.
        scaling: measured step times of channel-parallel training, one record a machine.
        wire: bytes counted in channel-parallel training; None before they were.
        inference: times of grouped layers; None before they were taken.
    """

    presets: Mapping[str, Preset]
    index: RunIndex
    parameters: Mapping[tuple[str, str, int], int]
    deviations: Mapping[str, tuple[Deviation, ...]]
    approximations: tuple[Approximation, ...]
    scaling: tuple[ScalingRecord, ...] = ()
    wire: WireRecord | None = None
    inference: InferenceRecord | None = None

    def scales(self, table: str) -> tuple["ScaleRuns", ...]:
        """The columns of all presets that reproduce a column of `table` and have at least one record."""
        found = []
        for scale in self.index.scales(self.presets, table):
            printed = {
                (row.variant, row.groups): row.error_percent
                for row in reported_rows(table)
                if (row.network, row.dataset) == (scale.column.network, scale.column.dataset)
            }
            found.append(ScaleRuns(scale=scale, index=self.index, reported_percent=printed))
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class ScaleRuns:
    """The runs at one scale; `reported_percent` are the errors that the paper's table has in this column."""

    scale: Scale
    index: RunIndex
    reported_percent: Mapping[Convolution, float]

    @property
    def groups(self) -> tuple[int, ...]:
        """The numbers of groups n >= 2 of the paper's column, ascending."""
        return tuple(sorted({groups for _, groups in self.reported_percent if groups > 1}))

    def finished(self, convolution: Convolution) -> dict[int, Record]:
        """The finished runs by seed."""
        runs = self.index.runs(self.scale.column, *convolution)
        return {run.seed: run for run in runs if run.status == "finished"}

    def diverged(self, convolution: Convolution) -> tuple[int, ...]:
        """The seeds whose runs diverged."""
        runs = self.index.runs(self.scale.column, *convolution)
        return tuple(run.seed for run in runs if run.status == "diverged")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result for a claim at one scale.

    Attributes:
        scale: None for a claim that needs no training, or that has no evidence at any scale.
        parts: the comparisons; empty when nothing could be compared.
        missing: what is needed before the claim can be tested, or tested in full; empty otherwise.
        basis: of parts without a scale: "exact" for computed numbers, "measured" for times.
    """

    scale: Scale | None = None
    parts: tuple[Part, ...] = ()
    missing: str = ""
    basis: str = "exact"

    @property
    def verdict(self) -> Verdict:
        """The combined verdict of the parts."""
        return combine(self.parts) if self.parts else Verdict.NOT_YET_TESTED

    @property
    def seeds(self) -> tuple[int, int]:
        """The smallest and the largest number of seeds that a part with a number rests on."""
        counts = [len(part.seeds) for part in self.parts if part.effect is not None]
        return min(counts, default=0), max(counts, default=0)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper.

    Attributes:
        id: "A1", ...
        source: where the paper makes it.
        statement: the claim.
        test: what is computed, and from what, in words.
        evaluate: the findings, one for each scale; at least one.
    """

    id: str
    source: str
    statement: str
    test: str
    evaluate: Callable[[Evidence], tuple[Finding, ...]]
