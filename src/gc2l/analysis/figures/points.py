"""The points of a figure's panel: the paper's numbers, or the runs of one scale."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gc2l.analysis.figures.style import add_caption, add_legend
from gc2l.analysis.labels import (
    DATASETS,
    data_label,
    model_label,
    paper_label,
    paper_network_label,
    range_label,
    scale_label,
)
from gc2l.analysis.selection import RunIndex, Scale, execution_and_images
from gc2l.analysis.statistics import Estimate, mean_interval
from gc2l.cells import Preset
from gc2l.paper import GROUPS, TABLES, reported_rows
from gc2l.records import Record
from gc2l.variants import VARIANTS

CONVOLUTIONS = (("sc", 1), *((variant, n) for variant in VARIANTS if variant != "sc" for n in GROUPS if n > 1))
"""Every (variant, number of groups) that a figure shows, where it has been run."""


@dataclass(frozen=True)
class Point:
    """One convolution with the network's parameters and top-1 test errors, by finished seed; the paper's has seed 0.

    `executions` names how each seed's run was executed, see `gc2l.analysis.selection.execution_and_images`.
    """

    variant: str
    groups: int
    parameters_millions: float
    errors_percent: Mapping[int, float]
    executions: Mapping[int, str]

    @property
    def key(self) -> tuple[str, int]:
        """Its variant and number of groups."""
        return self.variant, self.groups

    @property
    def error(self) -> Estimate:
        """Mean error in percent, with its interval where there are several seeds."""
        return mean_interval(list(self.errors_percent.values()))


@dataclass(frozen=True)
class Source:
    """The points of a panel, with its title, its preset and its note for the caption.

    Preset and note are empty for the paper's own points.
    """

    network: str
    dataset: str
    preset: str
    title: str
    note: str
    points: tuple[Point, ...]

    def of(self, variant: str) -> tuple[Point, ...]:
        """The points of one variant, by number of groups."""
        return tuple(point for point in self.points if point.variant == variant)


def paper_columns(*tables: str) -> tuple[tuple[str, str], ...]:
    """The (network, data set) pairs of some tables of the paper, each once."""
    return tuple(dict.fromkeys((row.network, row.dataset) for table in tables for row in reported_rows(table)))


def reported(network: str, dataset: str) -> Source:
    """What the paper prints for one of its networks and data sets, in whichever tables."""
    # A row that two tables share is the same in both.
    printed = {
        (row.variant, row.groups): Point(
            row.variant, row.groups, row.parameters_millions, {0: row.error_percent}, {0: ""}
        )
        for table in TABLES
        for row in reported_rows(table)
        if (row.network, row.dataset) == (network, dataset)
    }
    title = f"reported: {paper_network_label(network)}\n{DATASETS[dataset]}"
    return Source(network, dataset, "", title, "", tuple(printed[key] for key in CONVOLUTIONS if key in printed))


def scales(
    columns: Sequence[tuple[str, str]], presets: Mapping[str, Preset], index: RunIndex
) -> Iterator[tuple[Scale, dict[tuple[str, int], tuple[Record, ...]]]]:
    """The scales that reproduce one of these columns of the paper and have a run, with the runs by convolution."""
    for network, dataset in columns:
        for name, preset in presets.items():
            for column in preset.columns:
                if (column.network, column.dataset) == (network, dataset):
                    runs = {key: found for key in CONVOLUTIONS if (found := index.runs(column, *key))}
                    if runs:
                        yield Scale(preset=name, column=column), runs


def reproduced(
    columns: Sequence[tuple[str, str]], presets: Mapping[str, Preset], index: RunIndex
) -> tuple[Source, ...]:
    """The finished runs at every scale that has a record."""
    found = []
    for scale, runs in scales(columns, presets, index):
        finished = {key: [run for run in of if run.test is not None] for key, of in runs.items()}
        points = tuple(
            Point(
                *key,
                of[0].parameters / 1e6,
                {run.seed: run.test.error_percent for run in of if run.test is not None},
                {run.seed: execution_and_images(run) for run in of},
            )
            for key, of in finished.items()
            if of
        )
        network, dataset = scale.column.network, scale.column.dataset
        title, note = scale_title(scale, runs), scale_note(scale, runs)
        found.append(Source(network, dataset, scale.preset, title, note, points))
    return tuple(found)


def draw_sources(
    figure: Figure,
    axes: Sequence[Axes],
    sources: Sequence[Source],
    draw: Callable[[Axes, Source], None],
    columns: Sequence[tuple[str, str]],
    caption: Sequence[str],
    *,
    shared_legend: bool = True,
) -> Figure:
    """Draw one source a panel; below, a caption that also lists the columns without a run."""
    for place, source in zip(axes, sources, strict=True):
        draw(place, source)
    if shared_legend:
        add_legend(figure, axes)
    runs = [source for source in sources if source.note]
    notes = missing_note(columns, [(source.network, source.dataset) for source in runs])
    add_caption(figure, (*caption, *(source.note for source in runs), *notes))
    return figure


def missing_note(columns: Sequence[tuple[str, str]], present: Sequence[tuple[str, str]]) -> list[str]:
    """A sentence about the columns of the paper without any run; nothing when there is none."""
    absent = [paper_label(*column) for column in columns if column not in present]
    return [f"Not run at any scale yet: {', '.join(absent)}."] if absent else []


def scale_title(scale: Scale, runs: Mapping[tuple[str, int], Sequence[Record]]) -> str:
    """Two lines for a panel, such as "mini: WideResNet-10-4, k = 3" and "CIFAR-10, 4 epochs"."""
    template = scale.column.template
    return f"{scale.preset}: {model_label(template)}, {_seeds(runs)}\n{data_label(template)}"


def scale_note(scale: Scale, runs: Mapping[tuple[str, int], Sequence[Record]]) -> str:
    """A sentence for the caption: data set, network, epochs, seeds, and the runs that diverged."""
    diverged = [
        f"{VARIANTS[variant].label} n = {groups}, seed {run.seed}"
        for (variant, groups), found in runs.items()
        for run in found
        if run.status == "diverged"
    ]
    left_out = f"; diverged and left out: {'; '.join(diverged)}" if diverged else ""
    return f"Preset {scale_label(scale)}; {_seeds(runs)}{left_out}."


def _seeds(runs: Mapping[tuple[str, int], Sequence[Record]]) -> str:
    """How many seeds have finished behind each point: "k = 3", or "k = 1-3" with a dash."""
    counts = (sum(run.status == "finished" for run in found) for found in runs.values())
    return "k = " + range_label(filter(None, counts), "\N{EN DASH}")
