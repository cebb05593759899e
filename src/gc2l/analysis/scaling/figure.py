"""Speed-up against n: what was measured of single ranks, and what the cost model predicts for Table 2's networks."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gc2l.analysis.figures.style import FAINT, add_caption, mark, styled
from gc2l.analysis.scaling.cost_model import LINKS
from gc2l.analysis.scaling.predictions import Prediction, baseline_text, predict_speedups
from gc2l.records import ScalingRecord

_TONES = ("#0072B2", "#E69F00", "#009E73")
_LINES = ("-", "--", ":")
_MEASURED_MARKERS = ("o", "^", "s", "D")


@styled
def speedup_against_groups(record: ScalingRecord) -> Figure:
    """One panel of measured shares, and one of predictions for each width of Table 2.

    Raises:
        ValueError: too few measurements for a cost model.
    """
    predictions = predict_speedups(record)
    widths = sorted({one.widen_factor for one in predictions})
    columns = 2
    rows = -(-(len(widths) + 1) // columns)
    figure = Figure(figsize=(5.2, 2.2 * rows), layout="constrained")
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(len(widths) + 1)]
    _draw_measured(axes[0], record)
    for place, width in zip(axes[1:], widths, strict=True):
        _draw_predicted(place, [one for one in predictions if one.widen_factor == width])
    handles = {handle.get_label(): handle for place in axes for handle in place.get_legend_handles_labels()[0]}
    figure.legend(handles=list(handles.values()), loc="outside upper center", ncols=3)
    machine = record.hardware.accelerator or f"one core of {record.hardware.processor}"
    images = ", ".join(map(str, sorted({share.work.images for share in record.shares})))
    add_caption(
        figure,
        (
            "Speed-up of a training step from SC to GC-2L with n groups on n ranks. Upper left, measured: "
            f"one rank alone ({machine}, {record.precision}, batch {images}), the other ranks' channels supplied, so "
            "that communication takes no time. The other panels are predictions, nothing in them was run: compute from "
            "a model fitted to the measured shares, latency and bandwidth the links' nominal ones. Squares: the "
            "paper's ratios of training times (Table 2), whose SC took 1, 2 and 3 GPUs. Compared with "
            f"{baseline_text(record.planned)}. Ideal: a rank multiplies n^2 times less than SC.",
        ),
    )
    return figure


def _draw_measured(axes: Axes, record: ScalingRecord) -> None:
    axes.set_title("measured, one rank alone", loc="left")
    widths = sorted({share.work.widen_factor for share in record.shares})
    for number, width in enumerate(widths):
        seconds = {s.work.groups: s.time.seconds for s in record.shares if s.work.widen_factor == width}
        if 1 not in seconds:
            continue
        axes.plot(
            list(seconds),
            [seconds[1] / value for value in seconds.values()],
            color=mark("gc2l").color,
            alpha=1 - 0.25 * number,
            linewidth=0.8,
            marker=_MEASURED_MARKERS[number % len(_MEASURED_MARKERS)],
            label=f"measured, k = {width}",
        )
    _finish(axes, max(share.work.groups for share in record.shares))


def _draw_predicted(axes: Axes, predictions: Sequence[Prediction]) -> None:
    axes.set_title(f"WRN-28-{predictions[0].widen_factor}, predicted", loc="left")
    for link, tone, line in zip(LINKS, _TONES, _LINES, strict=True):
        points = [one for one in predictions if one.link.name == link.name]
        axes.plot(
            [one.groups for one in points],
            [one.speedup for one in points],
            color=tone,
            linestyle=line,
            label=f"predicted, {link.name}",
        )
    reported = {one.groups: one.reported for one in predictions if one.reported is not None}
    axes.plot(list(reported), list(reported.values()), "s", color="black", markerfacecolor="white", label="paper")
    _finish(axes, max(one.groups for one in predictions))


def _finish(axes: Axes, most: int) -> None:
    groups = [2**power for power in range(most.bit_length())]
    axes.plot(groups, [n**2 for n in groups], color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)), label="ideal n^2")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(groups))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("groups n = ranks")
    axes.set_ylabel("speed-up")
