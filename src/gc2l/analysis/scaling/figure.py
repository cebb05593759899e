"""Speed-up against n: measured on single ranks, and predicted by the cost model for the networks of Table 2."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gc2l.analysis.figures.style import FAINT, add_caption, add_legend, mark, styled
from gc2l.analysis.scaling.cost_model import LINKS, CostModel, fit_cost_model
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
    model = fit_cost_model(record)
    predictions = [one for one in predict_speedups(model, record.planned) if one.speedups]
    widths = sorted({one.widen_factor for one in predictions})
    columns = 2 if widths else 1
    rows = -(-(len(widths) + 1) // columns)
    figure = Figure(figsize=(5.2, 2.2 * rows), layout="constrained")
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(len(widths) + 1)]
    _draw_measured(axes[0], record, model)
    for place, width in zip(axes[1:], widths, strict=True):
        _draw_predicted(place, [one for one in predictions if one.widen_factor == width])
    add_legend(figure, axes, ncols=3)
    machine = record.hardware.accelerator or f"one core of {record.hardware.processor}"
    images = ", ".join(map(str, sorted({share.work.images for share in record.shares})))
    caption = (
        "Speed-up of a training step from SC to GC-2L with n groups on n ranks. Measured: one rank alone "
        f"({machine}, {record.precision}, batch {images}), with copies in place of the other ranks' channels, so that "
        "communication takes no time; white: no longer than the host takes to launch a step. Ideal: a rank has 1/n^2 "
        "of the multiplications of SC. "
    )
    caption += (
        "The other panels are predictions with 95 % intervals, nothing in them was run: the step by a model fitted to "
        "the measured ones, with nominal latency and bandwidth. Squares: the paper's ratios of training times "
        f"(Table 2), whose SC took 1, 2 and 3 GPUs. Compared with {baseline_text(record.planned)}."
        if widths
        else "Nothing is predicted for the networks of Table 2, which are outside the measured range."
    )
    add_caption(figure, ("How much faster training gets with more groups, one on each rank.", caption))
    return figure


def _draw_measured(axes: Axes, record: ScalingRecord, model: CostModel) -> None:
    axes.set_title("measured, one rank alone", loc="left")
    widths = sorted({share.work.widen_factor for share in record.shares})
    for number, width in enumerate(widths):
        shares = {share.work.groups: share for share in record.shares if share.work.widen_factor == width}
        if 1 not in shares:
            continue
        speedups = {n: shares[1].time.seconds / share.time.seconds for n, share in shares.items()}
        marker = _MEASURED_MARKERS[number % len(_MEASURED_MARKERS)]
        axes.plot(
            list(speedups),
            list(speedups.values()),
            color=mark("gc2l").color,
            alpha=1 - 0.25 * number,
            linewidth=0.8,
            marker=marker,
            label=f"measured, k = {width}",
        )
        bound = {n: speedups[n] for n, share in shares.items() if model.is_launch_bound(share)}
        axes.plot(list(bound), list(bound.values()), marker, color=mark("gc2l").color, markerfacecolor="white")
    _finish(axes, max(share.work.groups for share in record.shares))


def _draw_predicted(axes: Axes, predictions: Sequence[Prediction]) -> None:
    axes.set_title(f"WRN-28-{predictions[0].widen_factor}, predicted", loc="left")
    for link, tone, line in zip(LINKS, _TONES, _LINES, strict=True):
        groups = [one.groups for one in predictions]
        speedups = [one.speedups[link.name] for one in predictions]
        lows, highs = [one.low for one in speedups], [one.high for one in speedups]
        axes.plot(groups, [s.value for s in speedups], color=tone, linestyle=line, label=f"predicted, {link.name}")
        axes.fill_between(groups, lows, highs, color=tone, alpha=0.12, linewidth=0)
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
