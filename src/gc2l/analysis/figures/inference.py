"""Inference time against the number of groups, beside the ideal 1/n."""

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gc2l.analysis.figures.style import FAINT, add_caption, placeholder, styled
from gc2l.records.inference import InferenceRecord

_TONES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_MARKERS = "os^Dv"


@styled
def inference_against_groups(record: InferenceRecord) -> Figure:
    """One panel for each 3 x 3 layer of WideResNet-28-10 with stride 1, one thread."""
    times = [time for time in record.times if time.kernel == 3 and time.threads == 1 and "/2" not in time.case]
    cases = list(dict.fromkeys(time.case for time in times))
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    axes = [figure.add_subplot(1, max(len(cases), 1), number + 1) for number in range(max(len(cases), 1))]
    if not cases:
        placeholder(axes[0], "not measured")
    for place, case in zip(axes, cases, strict=False):
        place.set_title(case, loc="left")
        best: list[float] = []
        for number, library in enumerate(record.libraries):
            points = sorted(
                (time.groups, 1e3 * time.seconds) for time in times if (time.case, time.library) == (case, library)
            )
            if not points:
                continue
            n, milliseconds = zip(*points, strict=True)
            best += [value for groups, value in points if groups == 1]
            style = _MARKERS[number // len(_TONES)]
            width = 1.8 if library == "ours" else 0.8
            place.plot(n, milliseconds, f"{style}-", color=_TONES[number % len(_TONES)], label=library, lw=width, ms=3)
        groups = sorted({time.groups for time in times if time.case == case})
        if best:
            place.plot(groups, [min(best) / n for n in groups], ":", color=FAINT, label="ideal 1/n")
        place.set_xscale("log", base=2)
        place.set_yscale("log")
        place.xaxis.set_major_locator(FixedLocator(groups))
        place.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        place.xaxis.set_minor_locator(NullLocator())
        place.set_xlabel("groups n")
    axes[0].set_ylabel("milliseconds")
    handles = {handle.get_label(): handle for place in axes for handle in place.get_legend_handles_labels()[0]}
    if handles:
        figure.legend(handles=list(handles.values()), loc="outside upper center", ncols=4)
    add_caption(
        figure,
        (
            "How far grouped convolutions stay above the ideal time, 1/n.",
            "Time of one grouped convolution, one image, float32, one thread of "
            f"{record.hardware.processor}, median of the turns. Dotted: the shortest time at n = 1, divided by n.",
        ),
    )
    return figure
