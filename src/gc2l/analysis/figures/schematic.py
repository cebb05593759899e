"""Figures 1 and 2 in a drawing of our own: the matrices of SC, GC and GC-2L, and the layer as a flow."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from gc2l.analysis.figures.style import FAINT, INK, add_caption, mark, styled

_CAPTION = (
    "GC-2L is GC with one channel of each group exchanged.",
    "The dense weight of the layers for n = 4; every square is a block of k x k convolutions, white is zero. SC has "
    "all blocks. GC keeps those on the diagonal. GC-2L adds a correction of rank n: r reduces each group of input "
    "channels to one channel, C spreads these n channels over all output channels.",
    "Below, the same layer for group j: $y_j=A_jx_j+C_jz$ (equation 3.5). Only z, one channel of each group, "
    "passes between groups; on n processors it is the only exchange.",
)
_COARSE = "#CFE3F2"
_N = 4
_THIN = 0.55
"""Side of a block that is one channel wide, where a group is 1."""


@styled
def schematic() -> Figure:
    """The drawing; it depends on no run."""
    figure = Figure(figsize=(7.2, 4.85), layout="constrained")
    matrices, flow = figure.subplots(2, 1, height_ratios=(1, 2.1))
    for axes in (matrices, flow):
        axes.set_axis_off()
        axes.set_aspect("equal")
    _draw_matrices(matrices)
    _draw_flow(flow)
    add_caption(figure, _CAPTION)
    return figure


def _draw_matrices(axes: Axes) -> None:
    fine = mark("gc2l").color
    _draw_matrix(axes, 0, "SC", mark("sc").color, dense=True)
    _draw_matrix(axes, 6.2, "GC", mark("gc").color, dense=False)
    _draw_matrix(axes, 12.4, "GC-2L", fine, dense=False)
    axes.text(17.1, 2, "+", ha="center", va="center", fontsize=13)
    left, width = 17.8, _THIN * _N
    for group in range(_N):  # C: every group of outputs takes all of z
        _draw_block(axes, (left, _N - 1 - group), (width, 1), _COARSE, f"$C_{group + 1}$", INK)
    _draw_frame(axes, (left, 0), (width, _N))
    axes.text(left + width / 2, -0.3, "n", ha="center", va="top", color=FAINT)
    axes.text(left + width + 0.45, 2, "·", ha="center", va="center", fontsize=15)
    left, bottom = left + width + 0.9, 2 - width / 2
    for group in range(_N):  # r: one row for each group, over that group's channels only
        _draw_block(
            axes, (left + group, bottom + _THIN * (_N - 1 - group)), (1, _THIN), _COARSE, f"$r_{group + 1}$", INK
        )
    _draw_frame(axes, (left, bottom), (_N, width))
    axes.text(left + _N / 2, bottom - 0.3, "input channels", ha="center", va="top", color=FAINT)
    axes.text(left + _N + 0.25, 2, "n", va="center", color=FAINT)
    axes.text(-0.35, 2, "output channels", ha="right", va="center", rotation=90, color=FAINT)
    axes.set_xlim(-1.1, left + _N + 0.9)
    axes.set_ylim(-1.0, _N + 1.0)


def _draw_matrix(axes: Axes, left: float, name: str, color: str, *, dense: bool) -> None:
    for row in range(_N):
        for column in range(_N):
            if dense or row == column:
                label = f"$A_{{{row + 1}{column + 1}}}$" if dense else f"$A_{row + 1}$"
                _draw_block(axes, (left + column, _N - 1 - row), (1, 1), color, label, "white")
    _draw_frame(axes, (left, 0), (_N, _N))
    axes.text(left + _N / 2, _N + 0.3, name, ha="center", weight="bold", fontsize=9)
    axes.text(left + _N / 2, -0.3, "input channels", ha="center", va="top", color=FAINT)


def _draw_block(
    axes: Axes, corner: tuple[float, float], size: tuple[float, float], color: str, label: str, ink: str
) -> None:
    axes.add_patch(Rectangle(corner, *size, facecolor=color, edgecolor="white", linewidth=0.7))
    middle = corner[0] + size[0] / 2, corner[1] + size[1] / 2
    axes.text(*middle, label, ha="center", va="center_baseline", color=ink, fontsize=8)


def _draw_frame(axes: Axes, corner: tuple[float, float], size: tuple[float, float]) -> None:
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=INK, linewidth=0.9))


def _draw_flow(axes: Axes) -> None:
    """One row for each group: above the fine lane x, A, +, y; below it the coarse lane r, z, C."""
    x, convolution, z, bus, c, plus, y = 0.8, 6.4, 11.8, 15.2, 18.6, 23.6, 28.2
    rows = [2.75 * (_N - 1 - group) for group in range(_N)]
    fine_color = mark("gc2l").color
    axes.plot([bus, bus], [rows[-1] - 0.65, rows[0] - 0.65], color=INK, linewidth=2.4, zorder=1)
    for group, middle in enumerate(rows, start=1):
        fine, coarse = middle + 0.55, middle - 0.65
        # The fine lane passes over the exchange without taking part.
        axes.plot([bus, bus], [fine - 0.2, fine + 0.2], color="white", linewidth=5, solid_capstyle="butt", zorder=2)
        _arrow(axes, (x + 0.8, middle), (convolution - 0.8, fine))
        _arrow(axes, (x + 0.8, middle), (convolution - 0.8, coarse))
        _arrow(axes, (convolution + 0.8, fine), (plus - 0.42, fine))
        _arrow(axes, (convolution + 0.8, coarse), (z - 0.8, coarse))
        _arrow(axes, (z + 0.8, coarse), (bus, coarse))
        _arrow(axes, (bus, coarse), (c - 0.8, coarse))
        _arrow(axes, (c + 0.8, coarse), (plus - 0.3, fine - 0.3))
        _arrow(axes, (plus + 0.42, fine), (y - 0.8, fine))
        _box(axes, x, middle, f"$x_{group}$", "white", INK)
        _box(axes, convolution, fine, f"$A_{group}$", fine_color, "white")
        _box(axes, convolution, coarse, f"$r_{group}$", _COARSE, INK)
        _box(axes, z, coarse, f"$z_{group}$", "white", INK)
        _box(axes, c, coarse, f"$C_{group}$", _COARSE, INK)
        axes.add_patch(Circle((plus, fine), 0.42, facecolor="white", edgecolor=INK, linewidth=0.9, zorder=3))
        axes.text(plus, fine, "+", ha="center", va="center_baseline", fontsize=9, zorder=4)
        _box(axes, y, fine, f"$y_{group}$", "white", INK)
    for place, text in (
        (x, "input\ngroup"),
        (convolution, "k x k, as one\nconvolution"),
        (z, "one\nchannel"),
        (bus, "exchange\nof z"),
        (c, "1 x 1"),
        (y, "output\ngroup"),
    ):
        axes.text(place, rows[-1] - 1.5, text, ha="center", va="top", color=FAINT)
    axes.set_xlim(-0.4, y + 1.2)
    axes.set_ylim(rows[-1] - 3.0, rows[0] + 1.2)


def _box(axes: Axes, x: float, y: float, text: str, face: str, ink: str) -> None:
    outline: dict[str, Any] = {"facecolor": face, "edgecolor": INK, "linewidth": 0.8, "zorder": 3}
    axes.add_patch(FancyBboxPatch((x - 0.75, y - 0.42), 1.5, 0.84, boxstyle="round,pad=0.05", **outline))
    axes.text(x, y, text, ha="center", va="center_baseline", color=ink, fontsize=9, zorder=4)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    shape: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, **shape, color=INK, linewidth=0.9, zorder=2))
