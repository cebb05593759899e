"""The four parts of Table 2, each with its headers, rows and notes."""

from collections.abc import Sequence

from gc2l.analysis.scaling.cost_model import LINKS, NO_LINK, CostModel, fit_cost_model
from gc2l.analysis.scaling.least_squares import Seconds
from gc2l.analysis.scaling.predictions import baseline_text, predict_speedups
from gc2l.analysis.scaling.table_part import TablePart
from gc2l.paper import reported_rows
from gc2l.records import RanksTime, ScalingRecord, ShareTime, Work
from gc2l.variants import VARIANTS

CIFAR_IMAGES = 50_000
MILLION = 1e6


def parts_of_table2(records: Sequence[ScalingRecord]) -> list[TablePart]:
    """Parameters, measured steps of ranks together, of single ranks, and predictions, for every measured machine.

    Raises:
        ValueError: no record.
    """
    if not records:
        raise ValueError("nothing has been measured for Table 2; make table2 measures")
    parts = [_parameters(records[0].planned)]
    for record in records:
        if record.together:
            parts.append(_together(record))
        model = fit_cost_model(record)
        parts += [_shares(record, model), _costs(record, model)]
        if record.together:
            parts.append(_against_together(record, model))
        parts.append(_predictions(record, model))
    return parts


def _parameters(planned: Sequence[Work]) -> TablePart:
    printed = {(row.network, row.groups): row.parameters_millions for row in reported_rows("table2")}
    rows = []
    for work in planned:
        reported = printed.get((f"wide_resnet_28_{work.widen_factor}", work.groups))
        rows.append(
            (
                f"WRN-28-{work.widen_factor}",
                *_convolution(work),
                f"{work.parameters:,}",
                f"{work.own_parameters:,}",
                "" if reported is None else f"{reported:.1f} M",
                "" if reported is None else f"{work.parameters / MILLION:.1f} M",
            )
        )
    notes = (
        "GC-2L with n groups runs on n processors; per processor is what the fullest of them holds. "
        f"{baseline_text(planned)}.",
        "The stem's 16 channels cannot be divided by more than 16 groups: with n = 32 and 64 it has n channels.",
    )
    headers = ("network", "variant", "n", "parameters", "per processor", "paper", "here")
    return TablePart(title="Table 2 (a): parameters, exact", headers=headers, rows=tuple(rows), notes=notes)


def _together(record: ScalingRecord) -> TablePart:
    base = _find(record.together, "gc2l", 2, 1)
    alone = _find(record.together, "sc", 1, 1)
    rows = []
    for entry in record.together:
        work, time = entry.work, entry.time
        steps = -(-CIFAR_IMAGES // work.images)
        same = _find(record.together, work.variant, work.groups, 1)
        rows.append(
            (
                VARIANTS[work.variant].label,
                f"{work.groups}",
                f"{work.ranks}",
                _split(work),
                f"{entry.threads}",
                _overlap(entry),
                f"{time.seconds:.3f}",
                f"{time.low:.3f} to {time.high:.3f}",
                f"{steps * time.seconds / 60:.1f}",
                "" if same is None else f"{same.time.seconds / time.seconds:.2f}x",
                "" if alone is None else f"{alone.time.seconds / time.seconds:.2f}x",
            )
        )
    work = (base or record.together[0]).work
    return TablePart(
        title=f"Table 2 (b): measured, WRN-{work.depth}-{work.widen_factor}, batch {work.images}, {_machine(record)}",
        headers=(
            "variant", "n", "p", "split", "threads per rank", "overlap", "s a step", "range", "min an epoch",
            "over p = 1, 1 thread", "over SC, p = 1, 1 thread",
        ),
        rows=tuple(rows),
        notes=(
            f"Medians of {record.together[0].time.repeats} steps of each, taken in turn; a step ends "
            "when the last rank has ended it. An epoch is 50,000 images, computed from the step.",
        ),
    )  # fmt: skip


def _shares(record: ScalingRecord, model: CostModel) -> TablePart:
    rows = [
        (
            f"WRN-{share.work.depth}-{share.work.widen_factor}",
            *_convolution(share.work),
            f"{share.work.ranks}",
            f"{share.work.images}",
            f"{share.time.seconds:.4g}",
            f"{_sc_of(record.shares, share.work) / share.time.seconds:.2f}x",
            f"{share.work.flops / share.time.seconds / 1e9:,.0f}",
            f"{share.peak_memory_bytes / 2**30:.2f}",
            "yes" if model.is_launch_bound(share) else "",
            _with_interval(left_out),
        )
        for share, left_out in zip(record.shares, model.left_out, strict=True)
    ]
    pairs = zip(record.shares, model.left_out, strict=True)
    compared = [(share.time.seconds, found) for share, found in pairs if found is not None]
    errors = [found.value / seconds - 1 for seconds, found in compared]
    inside = sum(found.low <= seconds <= found.high for seconds, found in compared)
    notes = [
        "From the other shares: what the model of part (d) says when it is fitted without this share: "
        f"{_range(errors)} of the measured step, {inside} of {len(errors)} within their 95 % interval."
    ]
    if any(map(model.is_launch_bound, record.shares)):
        notes.append(
            "Launch-bound: no longer than the host takes to launch a step, as far as the model can tell. The device "
            "may need less time, so a ratio to such a step is only a bound."
        )
    return TablePart(
        title=f"Table 2 (c): measured, one rank alone with the others' channels supplied, {_machine(record)}",
        headers=(
            "network", "variant", "n", "p", "batch", "s a step", "over SC", "GFLOP/s", "peak GiB", "launch-bound",
            "from the other shares",
        ),
        rows=tuple(rows),
        notes=tuple(notes),
    )  # fmt: skip


def _costs(record: ScalingRecord, model: CostModel) -> TablePart:
    rows = []
    notes = []
    for term in model.terms:
        members = " or ".join(term.members)
        rate = term.rate
        rows.append(
            (members, "not seen", "")
            if rate is None
            else (members, f"{rate.value:.3g}", f"{rate.low:.3g} to {rate.high:.3g}")
        )
        if len(term.members) > 1:
            notes.append(
                f"The cost of {' and '.join(term.members)} cannot be told apart: they grow alike in every share. Where "
                "they do not, intervals reach from the one reading to the other."
            )
        if rate is None:
            notes.append(f"What {' or '.join(term.members)} cost is not seen: the other costs explain all steps.")
    form = ("the larger of host and device time", "their sum")
    if not model.fit.asynchronous:
        form = (form[1].replace("their sum", "the sum of host and device time, which are one processor"), "the larger")
    notes.insert(
        0,
        f"A step is {form[0]}; standard deviation of its relative error {100 * model.fit.error:.0f} % "
        f"(with {form[1]} in its place {100 * model.error_otherwise:.0f} %).",
    )
    if model.link is not None:
        notes.append(
            f"Link, fitted to collectives alone: {1e6 * model.link.latency:.0f} us a collective and "
            f"{model.link.bandwidth / 1e9:.2f} GB/s."
        )
    return TablePart(
        title=f"Table 2 (d): costs fitted to part (c), {_machine(record)}",
        headers=("cost of one of the", "seconds", "95 % interval"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _against_together(record: ScalingRecord, model: CostModel) -> TablePart:
    rows = []
    # A model of single threads; of the step at p = 1 it knows no less.
    for entry in record.together if model.link else ():
        if entry.threads != 1:
            continue
        outside = model.outside(entry.work)
        predicted = None if outside else model.predict(entry.work, model.link or NO_LINK)
        rows.append(
            (
                VARIANTS[entry.work.variant].label,
                f"{entry.work.groups}",
                f"{entry.work.ranks}",
                _split(entry.work),
                _overlap(entry),
                f"{entry.time.seconds:.3f}",
                _with_interval(predicted),
                "" if predicted is None else f"{100 * (predicted.value / entry.time.seconds - 1):+.0f} %",
                outside,
            )
        )
    return TablePart(
        title=f"Table 2 (d): the costs against part (b), to which they were not fitted, {_machine(record)}",
        headers=("variant", "n", "p", "split", "overlap", "measured s", "predicted s", "error", "not predicted"),
        rows=tuple(rows),
        notes=("The ranks of part (b) share one machine's memory; the costs are those of a rank that runs alone.",),
    )


def _predictions(record: ScalingRecord, model: CostModel) -> TablePart:
    rows = [
        (
            f"WRN-28-{found.widen_factor}",
            f"{found.groups}",
            _with_interval(found.step),
            *(
                f"{one.value:.1f}x ({one.low:.1f} to {one.high:.1f})" if one else ""
                for one in (found.speedups.get(link.name) for link in LINKS)
            ),
            f"{found.ideal}x",
            "" if found.reported is None else f"{found.reported:.1f}x",
            found.outside,
        )
        for found in predict_speedups(model, record.planned)
    ]
    return TablePart(
        title=f"Table 2 (d), PREDICTED: speed-up from SC to GC-2L on n ranks, ranks as in part (c), {_machine(record)}",
        headers=("network", "n", "s a step", *(link.name for link in LINKS), "ideal n^2", "paper", "not predicted"),
        rows=tuple(rows),
        notes=(
            "Nothing in this part was run: a rank's step is the model's, with its 95 % interval; latency and bandwidth "
            "are the links' nominal ones, nothing overlaps, and what the host takes to launch the collectives is left "
            "out. Outside of the measured shares nothing is predicted.",
            f"Compared with {baseline_text(record.planned)}; the paper's SC took 1, 2 and 3 GPUs.",
        ),
    )


def _with_interval(time: Seconds | None) -> str:
    return "" if time is None else f"{time.value:.3g} ({time.low:.3g} to {time.high:.3g})"


def _find(times: Sequence[RanksTime], variant: str, groups: int, ranks: int) -> RanksTime | None:
    found = (one for one in times if (one.work.variant, one.work.groups, one.work.ranks) == (variant, groups, ranks))
    return next((one for one in found if one.threads == 1), None)


def _sc_of(shares: Sequence[ShareTime], work: Work) -> float:
    return next(
        (s.time.seconds for s in shares if s.work.variant == "sc" and s.work.widen_factor == work.widen_factor),
        float("nan"),
    )


def _split(work: Work) -> str:
    return work.split if work.ranks > 1 else ""


def _overlap(entry: RanksTime) -> str:
    communicates = entry.work.variant == "gc2l" and entry.work.ranks > 1
    return ("yes" if entry.overlap else "no") if communicates else ""


def _convolution(work: Work) -> tuple[str, str]:
    return VARIANTS[work.variant].label, f"{work.groups}"


def _machine(record: ScalingRecord) -> str:
    name = record.hardware.accelerator or f"one core of {record.hardware.processor}"
    return f"{name}, {record.precision}"


def _range(errors: Sequence[float]) -> str:
    return f"{100 * min(errors):+.0f} to {100 * max(errors):+.0f} %"
