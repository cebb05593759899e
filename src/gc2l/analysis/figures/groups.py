"""Figures 5 and 7: error against the number of groups, with the slope of each variant."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from gc2l.analysis.figures.points import Point, Source, missing_note, paper_columns, reported, reproduced
from gc2l.analysis.figures.style import add_caption, mark, panels, placeholder, styled, ticks
from gc2l.analysis.selection import RunIndex
from gc2l.analysis.statistics import Estimate, slope
from gc2l.cells import Preset
from gc2l.paper import GROUPS
from gc2l.variants import VARIANTS

_CAPTION = (
    "Top-1 test error after the last epoch against the number of groups n; SC is n = 1. Marks: the paper's number, or "
    "the mean over k seeds; bands: its 95 % interval (Student t, k >= 2), cut at the edge of the panel. Lines: least "
    "squares over n >= 2, every run a point; beside the names their slopes in percentage points per doubling of n, "
    "[95 % interval]. The paper prints one number each, without seeds."
)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The least-squares line of error (percent) against log2 n."""

    slope: Estimate
    intercept: float

    def at(self, groups: int) -> float:
        """The error on the line."""
        return self.intercept + self.slope.value * math.log2(groups)


def fit(points: Sequence[Point]) -> Fit | None:
    """The line through every error of these points; None where too few were run for a slope with an interval."""
    pairs = [(math.log2(point.groups), error) for point in points for error in point.errors_percent]
    x, y = [log for log, _ in pairs], [error for _, error in pairs]
    if len(pairs) < 3 or len(set(x)) < 2:
        return None
    estimate = slope(x, y)
    return Fit(slope=estimate, intercept=float(np.mean(y) - estimate.value * np.mean(x)))


@styled
def error_against_groups(table: str, presets: Mapping[str, Preset], index: RunIndex) -> Figure:
    """The comparison of a table ("table3" is Figure 5, "table4" Figure 7): the paper's panels, then one per scale."""
    columns = paper_columns(table)
    runs = reproduced(columns, presets, index)
    figure, axes = panels(len(columns) + len(runs), panel_height=3.1)
    sources = (*(reported(*column) for column in columns), *runs)
    groups = [n for n in GROUPS if n <= max(point.groups for source in sources for point in source.points)]
    for place, source in zip(axes, sources, strict=True):
        _draw(place, source, groups)
    notes = missing_note(columns, [(source.network, source.dataset) for source in runs])
    add_caption(figure, (_CAPTION, *(source.note for source in runs), *notes))
    return figure


def _draw(axes: Axes, source: Source, groups: Sequence[int]) -> None:
    axes.set_title(source.title, loc="left")
    if not source.points:
        placeholder(axes, "every run diverged")
        return
    for standard in source.of("sc"):
        axes.axhline(standard.error.value, color=mark("sc").color, linestyle=mark("sc").linestyle, linewidth=0.8)
    handles = [_draw_variant(axes, variant, points) for variant in VARIANTS if (points := source.of(variant))]
    heights = [height for line in axes.get_lines() for height in np.asarray(line.get_ydata())]
    margin = 0.07 * (max(heights) - min(heights)) or 1
    axes.set_ylim(min(heights) - margin, max(heights) + margin)
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.85, 1.18 * max(groups))
    axes.set_xticks(groups, [str(n) for n in groups])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("groups n")
    axes.yaxis.set_major_locator(ticks())
    axes.set_ylabel("test error (%)")
    # Below the axis, where no run can lie under it.
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(-0.16, -0.24),
        borderaxespad=0,
        labelspacing=0.3,
        title="slope per doubling of n [95 %]",
        alignment="left",
    )


def _draw_variant(axes: Axes, variant: str, points: Sequence[Point]) -> Line2D:
    """Draw the points of one variant and return its entry of the legend."""
    look, label = mark(variant), VARIANTS[variant].label
    n = [point.groups for point in points]
    axes.plot(
        n,
        [point.error.value for point in points],
        color=look.color,
        marker=look.marker,
        linestyle="none",
        markeredgecolor="white",
        markeredgewidth=0.5,
        label=label,
        zorder=3,
    )
    _draw_band(axes, points, look.color)
    line = None if variant == "sc" else fit(points)
    if line is not None:
        axes.plot(
            n, [line.at(groups) for groups in n], color=look.color, linestyle=look.linestyle, label=f"fit {label}"
        )
    if variant != "sc":
        label += f"  {_text(line)}"
    return Line2D([], [], color=look.color, marker=look.marker, linestyle=look.linestyle, label=label)


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


def _text(line: Fit | None) -> str:
    if line is None or line.slope.interval is None:
        return "too few for a slope"
    interval = line.slope.interval
    return f"{line.slope.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]".replace("-", "\N{MINUS SIGN}")
