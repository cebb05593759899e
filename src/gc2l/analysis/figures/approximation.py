"""Section 2 of the paper, computed: how well GC and GC-2L could stand for trained standard convolutions."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from gc2l.analysis.claims.network_approximation import Approximation, by_groups
from gc2l.analysis.figures.points import paper_columns, scale_note, scale_title, scales
from gc2l.analysis.figures.style import FAINT, add_caption, mark, panels, placeholder, styled, ticks
from gc2l.analysis.selection import RunIndex
from gc2l.analysis.statistics import mean_interval
from gc2l.cells import Preset
from gc2l.variants import VARIANTS

_CAPTION = (
    "Best approximation of all layers of trained SC networks by GC (block Jacobi) and by GC-2L with n groups. Above: "
    "squared Frobenius error in percent of the squared norm of the weights. Below: the share of GC's error that the "
    "coarse level removes. Marks: mean over k seeds, with its 95 % interval (Student t, k >= 2) where it is larger "
    "than the mark. Dotted: random weights of the same shapes and norms. GC's error grows and the coarse level helps "
    "for any weights; only the distance from the dotted line is due to training."
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
        figure, (axes,) = panels(1, panel_height=0.6)
        placeholder(axes, "no trained network is measured yet")
        add_caption(figure, (_CAPTION,))
        return figure
    figure = Figure(figsize=(_WIDTHS[min(len(networks), 3) - 1], 4.0), layout="constrained")
    grid = figure.subplots(2, len(networks), sharex="col", sharey="row", squeeze=False)
    for (above, below), (scale, runs, measured) in zip(grid.T, networks, strict=True):
        above.set_title(scale_title(scale, runs), loc="left")
        _draw_errors(above, measured)
        _draw_share(below, measured)
    grid[1, 0].set_ylim(bottom=0)  # of the whole row, once all of it is drawn
    grid[0, 0].set_ylabel("squared error (%)")
    grid[1, 0].set_ylabel("restored (% of GC's error)")
    looks = {VARIANTS[variant].label: mark(variant) for variant in ("gc", "gc2l")}
    handles = [
        Line2D([], [], color=look.color, marker=look.marker, linestyle=look.linestyle, label=label)
        for label, look in looks.items()
    ]
    handles.append(Line2D([], [], color=FAINT, linestyle=":", label="random weights"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    add_caption(figure, (_CAPTION, *(scale_note(scale, runs) for scale, runs, _ in networks)))
    return figure


def _draw_errors(axes: Axes, measured: Measured) -> None:
    _draw(axes, "gc", measured, lambda one: 100 * one.gc, lambda one: 100 * one.random_gc)
    _draw(axes, "gc2l", measured, lambda one: 100 * one.gc2l, lambda one: 100 * one.random_gc2l)


def _draw_share(axes: Axes, measured: Measured) -> None:
    _draw(axes, "gc2l", measured, lambda one: one.restored_percent, lambda one: one.random_restored_percent)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(measured), [str(groups) for groups in measured])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("groups n")


def _draw(
    axes: Axes,
    variant: str,
    measured: Measured,
    of: Callable[[Approximation], float],
    of_random: Callable[[Approximation], float],
) -> None:
    look = mark(variant)
    estimates = [mean_interval([of(one) for one in found]) for found in measured.values()]
    axes.plot(
        list(measured),
        [mean_interval([of_random(one) for one in found]).value for found in measured.values()],
        color=look.color,
        linestyle=":",
        linewidth=1,
    )
    axes.plot(
        list(measured),
        [estimate.value for estimate in estimates],
        color=look.color,
        marker=look.marker,
        linestyle=look.linestyle,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )
    for groups, estimate in zip(measured, estimates, strict=True):
        if estimate.interval is not None:
            axes.vlines(groups, estimate.interval.low, estimate.interval.high, color=look.color, linewidth=0.9)
    axes.yaxis.set_major_locator(ticks())
