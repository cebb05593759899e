"""Figures 5 and 7: error against the number of groups, with the slope of each variant."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from gc2l.analysis.figures.points import Point, Source, draw_sources, paper_columns, reported, reproduced
from gc2l.analysis.figures.style import WHITE_EDGE, grid, groups_axis, mark, panels, placeholder, styled, ticks
from gc2l.analysis.selection import RunIndex
from gc2l.analysis.statistics import Estimate, mean_interval, slope
from gc2l.cells import Preset
from gc2l.paper import GROUPS
from gc2l.variants import VARIANTS

_CAPTION = (
    "The flatter a line, the less a variant loses with more groups.",
    "Top-1 test error after the last epoch against the number of groups n; SC is n = 1. Marks: the paper's number, or "
    "the mean over k seeds; bands: its 95 % interval (Student t, k >= 2), cut at the edge of the panel. Lines: least "
    "squares over n >= 2 and the seeds that every n has, executed alike; beside the names their slopes in percentage "
    "points per doubling of n, [95 % interval over the seeds' slopes; of one seed, and of the paper, from the scatter "
    "about the line].",
)
_HEIGHT = 3.1  # inches of a panel


@styled
def error_against_groups(table: str, presets: Mapping[str, Preset], index: RunIndex) -> Figure:
    """The comparison of a table ("table3" is Figure 5, "table4" Figure 7): the paper's panels, then the scales."""
    columns = paper_columns(table)
    sources = (*(reported(*column) for column in columns), *reproduced(columns, presets, index))
    if len(columns) == 1:
        figure, axes = panels(len(sources), panel_height=_HEIGHT)
    else:
        figure, axes = grid(_places(sources, columns), panel_height=_HEIGHT)
    most = max(point.groups for source in sources for point in source.points)
    groups = [n for n in GROUPS if n <= most]
    draw = partial(_draw, groups=groups)
    handles = [
        Line2D([], [], **mark(variant).line, label=entry.label)
        for variant, entry in VARIANTS.items()
        if any(source.of(variant) for source in sources)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles) if len(sources) > 1 else 3)
    return draw_sources(figure, axes, sources, draw, columns, _CAPTION, shared_legend=False)


def _places(sources: Sequence[Source], columns: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """Row and column of each panel: a row for the paper and each preset, below the column that it reproduces."""
    rows = list(dict.fromkeys(source.preset for source in sources))
    return [(rows.index(source.preset), columns.index((source.network, source.dataset))) for source in sources]


def _draw(axes: Axes, source: Source, groups: Sequence[int]) -> None:
    axes.set_title(source.title, loc="left")
    if not source.points:
        placeholder(axes, "every run diverged")
        return
    for standard in source.of("sc"):
        axes.axhline(standard.error.value, color=mark("sc").color, linestyle=mark("sc").linestyle, linewidth=0.8)
    slopes = {variant: _draw_variant(axes, variant, points) for variant in VARIANTS if (points := source.of(variant))}
    heights = [height for line in axes.get_lines() for height in np.asarray(line.get_ydata())]
    margin = 0.07 * (max(heights) - min(heights)) or 1
    axes.set_ylim(min(heights) - margin, max(heights) + margin)
    groups_axis(axes, groups)
    axes.set_xlim(0.85, 1.18 * max(groups))
    axes.yaxis.set_major_locator(ticks())
    axes.set_ylabel("test error (%)")
    # Below the axis, where it covers no run. Text alone: the marks are in the figure's legend.
    below = offset_copy(axes.transAxes, axes.get_figure(root=True), x=-20, y=-30, units="points")
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": below, "borderaxespad": 0}
    place |= {"alignment": "left", "labelspacing": 0.3, "handlelength": 0, "handletextpad": 0}
    axes.legend(
        handles=[Line2D([], [], linestyle="none", label=text) for text in slopes.values() if text],
        labelcolor=[mark(variant).color for variant, text in slopes.items() if text],
        title="slope per doubling of n [95 %]",
        **place,
    )


def _draw_variant(axes: Axes, variant: str, points: Sequence[Point]) -> str:
    """Draw the points of one variant; returns its name and slope, nothing for SC, which has none."""
    look, label = mark(variant), VARIANTS[variant].label
    n = [point.groups for point in points]
    means = [point.error.value for point in points]
    axes.plot(n, means, **look.line | WHITE_EDGE | {"linestyle": "none"}, label=label, zorder=3)
    _draw_band(axes, points, look.color)
    if variant == "sc":
        return ""
    text = "too few for a slope"
    if line := _fit(points):
        estimate, intercept = line
        heights = [intercept + estimate.value * math.log2(groups) for groups in n]
        axes.plot(n, heights, color=look.color, linestyle=look.linestyle, label=f"fit {label}")
        if interval := estimate.interval:
            text = f"{estimate.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
    return f"{label}  " + text.replace("-", "\N{MINUS SIGN}")


def _fit(points: Sequence[Point]) -> tuple[Estimate, float] | None:
    """Slope and intercept of the error (percent) against log2 n; None with fewer than three n.

    As in the claims, the slope of each seed is one value: runs of one seed share the order of the images, so their
    points are not independent of each other. A seed whose runs were not all executed alike has none. One seed's
    interval is that of its line.
    """
    shared = sorted(set.intersection(*(set(point.errors_percent) for point in points)))
    seeds = [seed for seed in shared if len({point.executions[seed] for point in points}) == 1]
    if len(points) < 3 or not seeds:
        return None
    x = [math.log2(point.groups) for point in points]
    lines = [slope(x, [point.errors_percent[seed] for point in points]) for seed in seeds]
    estimate = lines[0] if len(seeds) == 1 else mean_interval([line.value for line in lines])
    means = [fmean(point.errors_percent[seed] for seed in seeds) for point in points]
    return estimate, fmean(means) - estimate.value * fmean(x)


def _draw_band(axes: Axes, points: Sequence[Point], color: str) -> None:
    """The intervals of the means; where a mean has none the band is interrupted."""
    spread = [point.error.interval for point in points]
    low = [math.nan if interval is None else interval.low for interval in spread]
    high = [math.nan if interval is None else interval.high for interval in spread]
    if not any(spread):
        return
    if len(points) == 1:
        axes.vlines(points[0].groups, low, high, color=color, alpha=0.4, linewidth=2)
    else:
        axes.fill_between([point.groups for point in points], low, high, color=color, alpha=0.15, linewidth=0)
