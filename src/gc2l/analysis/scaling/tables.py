"""The four parts of Table 2, each with its headers, rows and notes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from gc2l.analysis.scaling.cost_model import LINKS, NO_LINK, CostModel, Term, fit_cost_model
from gc2l.analysis.scaling.least_squares import Range
from gc2l.analysis.scaling.predictions import Prediction, baseline_text, predict_speedups
from gc2l.analysis.scaling.table_part import TablePart
from gc2l.paper import reported_rows
from gc2l.records import RanksTime, ScalingRecord, ShareTime, Work
from gc2l.variants import VARIANTS

CIFAR_IMAGES = 50_000
MILLION = 1e6
T = TypeVar("T")
Columns = Mapping[str, Callable[[T], str]]
"""The cell of an item in each column, by the column's header."""


def parts_of_table2(records: Sequence[ScalingRecord]) -> list[TablePart]:
    """Parameters, measured steps of joint runs and of single ranks, and predictions, for every measured machine.

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


def _part(title: str, items: Iterable[T], columns: Columns[T], notes: Sequence[str]) -> TablePart:
    rows = tuple(tuple(cell(item) for cell in columns.values()) for item in items)
    return TablePart(title=title, headers=tuple(columns), rows=rows, notes=tuple(notes))


def _parameters(planned: Sequence[Work]) -> TablePart:
    printed = {(row.network, row.groups): row.parameters_millions for row in reported_rows("table2")}
    rows = [(work, printed.get((f"wide_resnet_28_{work.widen_factor}", work.groups))) for work in planned]
    columns: Columns[tuple[Work, float | None]] = {
        "network": lambda row: f"WRN-28-{row[0].widen_factor}",
        "variant": lambda row: VARIANTS[row[0].variant].label,
        "n": lambda row: f"{row[0].groups}",
        "parameters": lambda row: f"{row[0].parameters:,}",
        "per processor": lambda row: f"{row[0].own_parameters:,}",
        "paper": lambda row: "" if row[1] is None else f"{row[1]:.1f} M",
        "here": lambda row: "" if row[1] is None else f"{row[0].parameters / MILLION:.1f} M",
    }
    notes = (
        "GC-2L with n groups runs on n processors; per processor is what the fullest of them holds. "
        f"{baseline_text(planned)}.",
        "The stem's 16 channels cannot be divided by more than 16 groups: with n = 32 and 64 it has n channels.",
    )
    return _part("Table 2 (a): parameters, exact", rows, columns, notes)


def _together(record: ScalingRecord) -> TablePart:
    def over(entry: RanksTime, variant: str, groups: int) -> str:
        base = _find(record.together, variant, groups, 1)
        return "" if base is None else f"{base.time.seconds / entry.time.seconds:.2f}x"

    columns: Columns[RanksTime] = {
        **_RANKS,
        "threads per rank": lambda entry: f"{entry.threads}",
        "overlap": _overlap,
        "s a step": lambda entry: f"{entry.time.seconds:.3f}",
        "range": lambda entry: f"{entry.time.low:.3f} to {entry.time.high:.3f}",
        "min an epoch": lambda entry: f"{-(-CIFAR_IMAGES // entry.work.images) * entry.time.seconds / 60:.1f}",
        "over p = 1, 1 thread": lambda entry: over(entry, entry.work.variant, entry.work.groups),
        "over SC, p = 1, 1 thread": lambda entry: over(entry, "sc", 1),
    }
    work = (_find(record.together, "gc2l", 2, 1) or record.together[0]).work
    title = f"Table 2 (b): measured, WRN-{work.depth}-{work.widen_factor}, batch {work.images}, {_machine(record)}"
    note = (
        f"Medians of {record.together[0].time.repeats} steps of each, measured alternately; a step "
        "ends when the last rank has finished it. An epoch is 50,000 images, computed from the step."
    )
    return _part(title, record.together, columns, (note,))


def _shares(record: ScalingRecord, model: CostModel) -> TablePart:
    standard = {s.work.widen_factor: s.time.seconds for s in reversed(record.shares) if s.work.variant == "sc"}
    left_out = {id(share): found for share, found in zip(record.shares, model.left_out, strict=True)}
    columns: Columns[ShareTime] = {
        "network": lambda share: f"WRN-{share.work.depth}-{share.work.widen_factor}",
        "variant": lambda share: VARIANTS[share.work.variant].label,
        "n": lambda share: f"{share.work.groups}",
        "p": lambda share: f"{share.work.ranks}",
        "batch": lambda share: f"{share.work.images}",
        "s a step": lambda share: f"{share.time.seconds:.4g}",
        "over SC": lambda share: f"{standard.get(share.work.widen_factor, float('nan')) / share.time.seconds:.2f}x",
        "GFLOP/s": lambda share: f"{share.work.flops / share.time.seconds / 1e9:,.0f}",
        "peak GiB": lambda share: f"{share.peak_memory_bytes / 2**30:.2f}",
        "launch-bound": lambda share: "yes" if model.is_launch_bound(share) else "",
        "from the other shares": lambda share: _with_interval(left_out[id(share)]),
    }
    compared = [(share.time.seconds, found) for share in record.shares if (found := left_out[id(share)]) is not None]
    errors = [found.value / seconds - 1 for seconds, found in compared]
    inside = sum(found.low <= seconds <= found.high for seconds, found in compared)
    notes = [
        "From the other shares: the prediction of the model of part (d) when it is fitted without this share: "
        f"{_range(errors)} of the measured step, {inside} of {len(errors)} within their 95 % interval."
    ]
    if any(map(model.is_launch_bound, record.shares)):
        notes.append(
            "Launch-bound: by the model, no longer than the host takes to launch a step. The device may need less "
            "time, so a ratio to such a step is only a bound."
        )
    title = f"Table 2 (c): measured, one rank alone with copies in place of the others' channels, {_machine(record)}"
    return _part(title, record.shares, columns, notes)


def _costs(record: ScalingRecord, model: CostModel) -> TablePart:
    forms = ["the larger of host and device time", "their sum"]
    if not model.fit.asynchronous:
        forms = ["the sum of host and device time, which are one processor", "the larger"]
    notes = [
        f"A step is {forms[0]}; standard deviation of its relative error {100 * model.fit.error:.0f} % "
        f"(with {forms[1]} in its place {100 * model.error_otherwise:.0f} %)."
    ]
    for term in model.terms:
        if len(term.members) > 1:
            notes.append(
                f"The costs of {' and '.join(term.members)} are indistinguishable: they are proportional in every "
                "share. Where they are not, intervals cover both readings."
            )
        if term.rate is None:
            notes.append(f"The cost of {' or '.join(term.members)} is not visible: the other costs explain all steps.")
    if model.link is not None:
        notes.append(
            f"Link, fitted to collectives alone: {1e6 * model.link.latency:.0f} us a collective and "
            f"{model.link.bandwidth / 1e9:.2f} GB/s."
        )
    columns: Columns[Term] = {
        "cost of one of the": lambda term: " or ".join(term.members),
        "seconds": lambda term: f"{term.rate.value:.3g}" if term.rate else "not visible",
        "95 % interval": lambda term: f"{term.rate.low:.3g} to {term.rate.high:.3g}" if term.rate else "",
    }
    return _part(f"Table 2 (d): costs fitted to part (c), {_machine(record)}", model.terms, columns, notes)


def _against_together(record: ScalingRecord, model: CostModel) -> TablePart:
    def predicted(entry: RanksTime) -> Range | None:
        return None if model.outside(entry.work) else model.predict(entry.work, model.link or NO_LINK)

    def error(entry: RanksTime) -> str:
        found = predicted(entry)
        return "" if found is None else f"{100 * (found.value / entry.time.seconds - 1):+.0f} %"

    # The model is one of single threads.
    entries = [entry for entry in record.together if model.link and entry.threads == 1]
    columns: Columns[RanksTime] = {
        **_RANKS,
        "overlap": _overlap,
        "measured s": lambda entry: f"{entry.time.seconds:.3f}",
        "predicted s": lambda entry: _with_interval(predicted(entry)),
        "error": error,
        "not predicted": lambda entry: model.outside(entry.work),
    }
    title = f"Table 2 (d): the costs against part (b), to which they were not fitted, {_machine(record)}"
    note = "The ranks of part (b) share one machine's memory; the costs are those of a rank that runs alone."
    return _part(title, entries, columns, (note,))


def _predictions(record: ScalingRecord, model: CostModel) -> TablePart:
    def over(found: Prediction, link: str) -> str:
        one = found.speedups.get(link)
        return f"{one.value:.1f}x ({one.low:.1f} to {one.high:.1f})" if one else ""

    columns: Columns[Prediction] = {
        "network": lambda found: f"WRN-28-{found.widen_factor}",
        "n": lambda found: f"{found.groups}",
        "s a step": lambda found: _with_interval(found.step),
        **{link.name: partial(over, link=link.name) for link in LINKS},
        "ideal n^2": lambda found: f"{found.ideal}x",
        "paper": lambda found: "" if found.reported is None else f"{found.reported:.1f}x",
        "not predicted": lambda found: found.outside,
    }
    title = f"Table 2 (d), PREDICTED: speed-up from SC to GC-2L on n ranks, ranks as in part (c), {_machine(record)}"
    notes = (
        "Nothing in this part was run: the step of a rank is predicted by the model, with its 95 % interval; latency "
        "and bandwidth of the links are nominal, nothing overlaps, and the time to launch the collectives is left "
        "out. Nothing is predicted outside the measured range.",
        f"Compared with {baseline_text(record.planned)}; the paper's SC took 1, 2 and 3 GPUs.",
    )
    return _part(title, predict_speedups(model, record.planned), columns, notes)


def _with_interval(time: Range | None) -> str:
    return "" if time is None else f"{time.value:.3g} ({time.low:.3g} to {time.high:.3g})"


def _find(times: Sequence[RanksTime], variant: str, groups: int, ranks: int) -> RanksTime | None:
    found = (one for one in times if (one.work.variant, one.work.groups, one.work.ranks) == (variant, groups, ranks))
    return next((one for one in found if one.threads == 1), None)


def _overlap(entry: RanksTime) -> str:
    communicates = entry.work.variant == "gc2l" and entry.work.ranks > 1
    return ("yes" if entry.overlap else "no") if communicates else ""


def _machine(record: ScalingRecord) -> str:
    name = record.hardware.accelerator or f"one core of {record.hardware.processor}"
    return f"{name}, {record.precision}"


def _range(errors: Sequence[float]) -> str:
    return f"{100 * min(errors):+.0f} to {100 * max(errors):+.0f} %"


_RANKS: Columns[RanksTime] = {
    "variant": lambda entry: VARIANTS[entry.work.variant].label,
    "n": lambda entry: f"{entry.work.groups}",
    "p": lambda entry: f"{entry.work.ranks}",
    "split": lambda entry: entry.work.split if entry.work.ranks > 1 else "",
}
