"""Section 2 of the paper, computed: how well GC and GC-2L approximate trained standard convolutions."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gc2l.analysis.claims.network_approximation import Approximation, by_groups
from gc2l.analysis.figures.points import paper_columns, scale_note, scale_title, scales
from gc2l.analysis.figures.style import (
    FAINT,
    WHITE_EDGE,
    add_caption,
    draw_interval,
    empty_figure,
    groups_axis,
    mark,
    styled,
    ticks,
)
from gc2l.analysis.selection import RunIndex
from gc2l.analysis.statistics import mean_interval
from gc2l.cells import Preset
from gc2l.variants import VARIANTS

_CAPTION = (
    "How much of GC's approximation error the coarse level removes.",
    "Best approximation of all layers of trained SC networks by GC (block Jacobi) and by GC-2L with n groups. Above: "
    "squared Frobenius error in percent of the squared norm of the weights. Below: the share of GC's error that the "
    "coarse level removes. Marks: mean over k seeds, with its 95 % interval (Student t, k >= 2) where it is larger "
    "than the mark. Dotted: random weights of the same shapes and norms. GC's error grows and the coarse level helps "
    "for any weights; only the distance from the dotted line is due to training.",
)
_WIDTHS = (3.5, 5.2, 7.2)
Measured = Mapping[int, Sequence[Approximation]]


@styled
def layer_approximation(
    presets: Mapping[str, Preset], index: RunIndex, approximations: Sequence[Approximation]
) -> Figure:
    """One column of panels per scale: errors above, the share that the coarse level restores below."""
    identities = {one.identity for one in approximations}
    networks = [
        (scale, {("sc", 1): [run for run in runs["sc", 1] if run.identity in identities]}, measured)
        for scale, runs in scales(paper_columns("table1", "table3", "table4"), presets, index)
        if ("sc", 1) in runs and (measured := by_groups(approximations, runs["sc", 1]))
    ]
    if not networks:
        return empty_figure("no trained network is measured yet", _CAPTION)
    figure = Figure(figsize=(_WIDTHS[min(len(networks), 3) - 1], 4.3), layout="constrained")
    grid = figure.subplots(2, len(networks), sharex="col", sharey="row", squeeze=False)
    for (above, below), (scale, runs, measured) in zip(grid.T, networks, strict=True):
        above.set_title(scale_title(scale, runs), loc="left")
        _draw(above, "gc", measured, lambda one: 100 * one.gc, lambda one: 100 * one.random_gc)
        _draw(above, "gc2l", measured, lambda one: 100 * one.gc2l, lambda one: 100 * one.random_gc2l)
        _draw(below, "gc2l", measured, lambda one: one.restored_percent, lambda one: one.random_restored_percent)
        groups_axis(below, list(measured))
    grid[1, 0].set_ylim(bottom=0)  # of the whole row, once all of it is drawn
    grid[0, 0].set_ylabel("squared error (%)")
    grid[1, 0].set_ylabel("restored (% of GC's error)")
    handles = [Line2D([], [], **mark(variant).line, label=VARIANTS[variant].label) for variant in ("gc", "gc2l")]
    handles.append(Line2D([], [], color=FAINT, linestyle=":", label="random weights"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    add_caption(figure, (*_CAPTION, *(scale_note(scale, runs) for scale, runs, _ in networks)))
    return figure


def _draw(
    axes: Axes,
    variant: str,
    measured: Measured,
    of: Callable[[Approximation], float],
    of_random: Callable[[Approximation], float],
) -> None:
    look = mark(variant)
    groups = list(measured)
    random = [mean_interval([of_random(one) for one in found]).value for found in measured.values()]
    axes.plot(groups, random, color=look.color, linestyle=":", linewidth=1)
    estimates = [mean_interval([of(one) for one in found]) for found in measured.values()]
    axes.plot(groups, [estimate.value for estimate in estimates], **look.line | WHITE_EDGE)
    for n, estimate in zip(groups, estimates, strict=True):
        draw_interval(axes, n, estimate.interval, look.color, linewidth=0.9)
    axes.yaxis.set_major_locator(ticks())
