"""Figure 4: the decay of the training loss of SC, GC and GC-2L."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter

from gc2l.analysis.figures.points import missing_note, paper_columns, scale_note, scale_title, scales
from gc2l.analysis.figures.style import add_caption, add_legend, empty_figure, mark, styled, ticks
from gc2l.analysis.selection import RunIndex
from gc2l.cells import Preset
from gc2l.paper import GROUPS
from gc2l.records import Record
from gc2l.variants import VARIANTS

_CAPTION = (
    "How close the loss of GC-2L stays to that of SC as n grows.",
    "Training loss (cross-entropy in nats, mean of each epoch). Lines: mean over k seeds; bands: from the lowest to "
    "the highest seed. SC (n = 1) is the same in all panels of a row. The paper shows such curves in its Figure 4 "
    "without their numbers, so none of its own stand here.",
)
_GROUPS = tuple(n for n in GROUPS if n > 1)
Runs = Mapping[tuple[str, int], Sequence[Record]]


@styled
def training_loss(presets: Mapping[str, Preset], index: RunIndex) -> Figure:
    """One row per scale of Table 1, one panel per number of groups."""
    columns = paper_columns("table1")
    shown = [
        (scale, {key: found for key, found in runs.items() if key[0] in ("sc", "gc", "gc2l")})
        for scale, runs in scales(columns, presets, index)
    ]
    shown = [(scale, runs) for scale, runs in shown if runs]
    notes = missing_note(columns, [(scale.column.network, scale.column.dataset) for scale, _ in shown])
    if not shown:
        return empty_figure("no run is recorded yet", (*_CAPTION, *notes))
    figure = Figure(figsize=(7.2, 0.3 + 1.95 * len(shown)), layout="constrained")
    rows = figure.subfigures(len(shown), 1, squeeze=False)[:, 0]
    for row, (scale, runs) in zip(rows, shown, strict=True):
        row.suptitle(scale_title(scale, runs).replace("\n", ", "), x=0.01, ha="left", fontsize=8)
        all_axes = row.subplots(1, len(_GROUPS), sharex=True, sharey=True)
        for axes, groups in zip(all_axes, _GROUPS, strict=True):
            _draw(axes, groups, runs)
        low, high = all_axes[0].get_ylim()
        all_axes[0].yaxis.set_major_locator(log_ticks(low, high))
        all_axes[0].set_ylabel("training loss")
    add_legend(figure, figure.axes, loc="outside upper right")
    add_caption(figure, (*_CAPTION, *(scale_note(scale, runs) for scale, runs in shown), *notes))
    return figure


def log_ticks(low: float, high: float) -> Locator:
    """A few ticks of a logarithmic axis: 1, 2 and 5 of each power of ten, and more within a decade."""
    if high > 10 * low:
        return LogLocator(subs=(1, 2, 5))
    steps = [step * 10**decade for decade in range(-6, 7) for step in (1, 1.4, 2, 3, 5, 7)]
    shown = [step for step in steps if low <= step <= high]
    return FixedLocator(shown) if len(shown) > 1 else ticks()


def _draw(axes: Axes, groups: int, runs: Runs) -> None:
    axes.set_title(f"n = {groups}")
    for variant, n in (("sc", 1), ("gc", groups), ("gc2l", groups)):
        curves = [
            [epoch.train_loss for epoch in run.curve] for run in runs.get((variant, n), ()) if run.status == "finished"
        ]
        if not curves:
            continue
        look = mark(variant)
        loss = np.array(curves)  # (seeds, epochs)
        epochs = np.arange(1, loss.shape[1] + 1)
        axes.fill_between(epochs, loss.min(axis=0), loss.max(axis=0), color=look.color, alpha=0.2, linewidth=0)
        every = max(1, len(epochs) // 6)
        label = VARIANTS[variant].label
        axes.plot(epochs, loss.mean(axis=0), **look.line, markersize=3.5, markevery=every, linewidth=1.1, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("epoch")
