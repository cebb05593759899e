"""Error against the number of parameters."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from gc2l.analysis.figures.points import Point, Source, draw_sources, paper_columns, reported, reproduced
from gc2l.analysis.figures.style import FAINT, WHITE_EDGE, draw_interval, mark, panels, placeholder, styled, ticks
from gc2l.analysis.selection import RunIndex
from gc2l.cells import Preset
from gc2l.variants import VARIANTS

_CAPTION = (
    "Lower left is better: a smaller network and a smaller error.",
    "Top-1 test error after the last epoch against the parameters of the network, in millions; FLGC with the nominal "
    "number that the paper gives, not its dense weights. Ticks: the smallest network of each n, with n above it. "
    "Marks: the paper's number, or the mean over k seeds with its 95 % interval (Student t, k >= 2), cut at the edge "
    "of the panel. The paper prints one number each, without seeds.",
)


@styled
def error_against_parameters(presets: Mapping[str, Preset], index: RunIndex) -> Figure:
    """Every network of Tables 1, 3 and 4: the paper's panels, then one per scale."""
    columns = paper_columns("table1", "table3", "table4")
    sources = (*(reported(*column) for column in columns), *reproduced(columns, presets, index))
    figure, axes = panels(len(sources), panel_height=2.15)
    return draw_sources(figure, axes, sources, _draw, columns, _CAPTION)


def _draw(axes: Axes, source: Source) -> None:
    axes.set_title(source.title, loc="left")
    if not source.points:
        placeholder(axes, "every run diverged")
        return
    for variant in VARIANTS:
        points = source.of(variant)
        if not points:
            continue
        look = mark(variant)
        for point in points:
            draw_interval(axes, point.parameters_millions, point.error.interval, look.color, linewidth=0.9)
        millions, means = zip(*((point.parameters_millions, point.error.value) for point in points), strict=True)
        axes.plot(millions, means, **look.line | WHITE_EDGE, label=VARIANTS[variant].label)
    errors = [error for point in source.points for error in point.errors_percent.values()]
    span = max(errors) - min(errors) or 1
    axes.set_ylim(min(errors) - 0.2 * span, max(errors) + 0.07 * span)
    axes.set_xscale("log")
    _mark_groups(axes, source.points)
    axes.margins(x=0.08)
    axes.set_xlabel("parameters (millions)")
    axes.yaxis.set_major_locator(ticks())
    axes.set_ylabel("test error (%)")


def _mark_groups(axes: Axes, points: Sequence[Point]) -> None:
    """One tick for each n, at its smallest network, with n itself in the margin above the axis."""
    smallest: dict[int, float] = {}
    for point in points:
        smallest[point.groups] = min(point.parameters_millions, smallest.get(point.groups, math.inf))
    nearest = (max(smallest.values()) / min(smallest.values())) ** 0.14
    shown: dict[int, float] = {}
    for groups, millions in sorted(smallest.items()):
        # Ticks that are closer would write over each other.
        if all(max(other, millions) / min(other, millions) >= nearest for other in shown.values()):
            shown[groups] = millions
    axes.xaxis.set_minor_locator(NullLocator())
    labels = [f"{millions:.4g}" if millions >= 1 else f"{millions:.2g}" for millions in shown.values()]
    axes.set_xticks(list(shown.values()), labels)
    for groups, millions in shown.items():
        label = f"n = {groups}" if groups == 1 else f"{groups}"
        above = axes.get_xaxis_transform()
        text = axes.text(millions, 0.02, label, transform=above, ha="center", va="bottom", color=FAINT, fontsize=7)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # on top of long intervals
