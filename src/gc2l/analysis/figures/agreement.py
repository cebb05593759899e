"""Reported against reproduced errors: does a small scale order the convolutions as the paper does?"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from gc2l.analysis.figures.points import Source, draw_sources, paper_columns, reported, reproduced
from gc2l.analysis.figures.style import draw_interval, mark, panels, placeholder, styled, ticks
from gc2l.analysis.labels import paper_label
from gc2l.analysis.selection import RunIndex
from gc2l.cells import Preset
from gc2l.variants import VARIANTS

_CAPTION = (
    "Marks that rise from left to right agree with the paper.",
    "Each mark is one convolution with one n: the paper's error, and the mean over k seeds with its 95 % interval "
    "(Student t, k >= 2), cut at the edge of the panel. Along a line n grows with the marks. The rank correlation "
    "(Spearman) is over all marks of a panel; the grey line, where it is in sight, is equality.",
)
_AREAS = {1: 22, 2: 14, 4: 22, 8: 33, 16: 46}


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation; None for fewer than three pairs or where one side is constant."""
    first, second = {a for a, _ in pairs}, {b for _, b in pairs}
    if len(pairs) < 3 or len(first) == 1 or len(second) == 1:
        return None
    return float(spearmanr([a for a, _ in pairs], [b for _, b in pairs]).statistic)


def error_pairs(source: Source) -> dict[tuple[str, int], tuple[float, float]]:
    """(reported, mean reproduced) error in percent of every convolution that has both."""
    printed = {point.key: point.error.value for point in reported(source.network, source.dataset).points}
    return {point.key: (printed[point.key], point.error.value) for point in source.points if point.key in printed}


@styled
def reported_against_reproduced(presets: Mapping[str, Preset], index: RunIndex) -> Figure:
    """One panel per scale."""
    columns = paper_columns("table1", "table3", "table4")
    runs = reproduced(columns, presets, index)
    figure, axes = panels(max(len(runs), 1), panel_height=2.7 if runs else 0.6)
    if not runs:
        placeholder(axes[0], "no run is recorded yet")
    return draw_sources(figure, axes[: len(runs)], runs, _draw, columns, _CAPTION)


def _draw(axes: Axes, source: Source) -> None:
    pairs = error_pairs(source)
    correlation = rank_correlation(list(pairs.values()))
    ranks = "too few for a rank correlation" if correlation is None else f"rank correlation {correlation:.2f}"
    ranks = ranks.replace("-", "\N{MINUS SIGN}")
    axes.set_title(f"{source.title}\n{ranks} ({len(pairs)} marks)", loc="left")
    if not pairs:
        placeholder(axes, "no finished run")
        return
    for variant in VARIANTS:
        points = [point for point in source.of(variant) if point.key in pairs]
        if not points:
            continue
        look = mark(variant)
        x, y = zip(*(pairs[point.key] for point in points), strict=True)
        axes.plot(x, y, **look.line, linewidth=0.9, markersize=0)
        for point, reported_error in zip(points, x, strict=True):
            draw_interval(axes, reported_error, point.error.interval, look.color, linewidth=0.8)
        areas = [_AREAS[point.groups] for point in points]
        looks: dict[str, Any] = {"color": look.color, "marker": look.marker, "edgecolors": "white", "linewidths": 0.5}
        axes.scatter(x, y, areas, **looks, label=VARIANTS[variant].label, zorder=3)
    means = [mean for _, mean in pairs.values()]
    margin = 0.1 * (max(means) - min(means)) or 1
    axes.set_ylim(min(means) - margin, max(means) + margin)
    axes.plot([0, 100], [0, 100], color="0.7", linewidth=0.8, scalex=False, scaley=False, zorder=1)
    axes.set_xlabel(f"reported error (%)\n{paper_label(source.network, source.dataset)}")
    axes.xaxis.set_major_locator(ticks())
    axes.yaxis.set_major_locator(ticks())
    axes.set_ylabel("reproduced error (%)")
