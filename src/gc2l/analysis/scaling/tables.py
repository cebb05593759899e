"""The four parts of Table 2, each with its headers, rows and notes, and how they are written."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from gc2l.analysis.scaling.cost_model import LINKS, fit_cost_model
from gc2l.analysis.scaling.predictions import Prediction, baseline_text, predict_speedups
from gc2l.paper import reported_rows
from gc2l.records import RanksTime, ScalingRecord, ShareTime, Work
from gc2l.variants import VARIANTS

CIFAR_IMAGES = 50_000
MILLION = 1e6


@dataclass(frozen=True, kw_only=True)
class TablePart:
    """One part; cells are text."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


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
        parts += [_shares(record), _model(record), _predictions(record)]
    return parts


def to_text(parts: Sequence[TablePart], style: str) -> str:
    """All parts in one of tabulate's formats: "simple" for the terminal, "pipe" for Markdown."""
    mark = "## " if style == "pipe" else ""
    texts = []
    for part in parts:
        grid = tabulate(part.rows, part.headers, tablefmt=style, disable_numparse=True, colalign=_alignment(part))
        texts.append("\n\n".join([f"{mark}{part.title}", grid, *(f"- {note}" for note in part.notes)]))
    return "\n\n".join(texts) + "\n"


def to_latex(parts: Sequence[TablePart]) -> str:
    """All parts as booktabs tables, each below a comment that is its title."""
    grids = (
        tabulate(part.rows, part.headers, tablefmt="latex_booktabs", disable_numparse=True, colalign=_alignment(part))
        for part in parts
    )
    return "\n\n".join(f"% {part.title}\n{grid}" for part, grid in zip(parts, grids, strict=True)) + "\n"


def to_csv(parts: Sequence[TablePart]) -> str:
    """All parts, one line a row, each cell with the number of its part and the name of its column."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("part", "title", "row", "column", "value"))
    for number, part in enumerate(parts, start=1):
        for place, row in enumerate(part.rows, start=1):
            for column, value in zip(part.headers, row, strict=True):
                writer.writerow((number, part.title, place, column, value))
    return stream.getvalue()


def _alignment(part: TablePart) -> list[str]:
    return ["left", *["right"] * (len(part.headers) - 1)]


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


def _shares(record: ScalingRecord) -> TablePart:
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
        )
        for share in record.shares
    ]
    return TablePart(
        title=f"Table 2 (c): measured, one rank alone with the others' channels supplied, {_machine(record)}",
        headers=("network", "variant", "n", "p", "batch", "s a step", "over SC", "GFLOP/s", "peak GiB"),
        rows=tuple(rows),
    )


def _model(record: ScalingRecord) -> TablePart:
    model = fit_cost_model(record)
    rows = []
    if model.link is not None:
        for entry in record.together:
            # The compute of this very network, measured, would be the step itself at p = 1.
            if entry.threads != 1:
                continue
            predicted = model.step_seconds(entry.work, model.link)
            rows.append(
                (
                    VARIANTS[entry.work.variant].label,
                    f"{entry.work.groups}",
                    f"{entry.work.ranks}",
                    _split(entry.work),
                    _overlap(entry),
                    f"{entry.time.seconds:.3f}",
                    f"{predicted:.3f}",
                    f"{100 * (predicted / entry.time.seconds - 1):+.0f} %",
                )
            )
    notes = [
        f"Fitted to part (c): {1e-9 / model.per_flop if model.per_flop else float('inf'):,.0f} GFLOP/s, "
        f"{1e9 * model.per_element:.2f} ns an activation, {1e9 * model.per_parameter:.2f} ns a parameter, "
        f"{1e6 * model.per_layer:.0f} us a layer; its own shares it meets within {_range(model.errors)}.",
    ]
    if model.errors_of_widest:
        notes.append(
            "Fitted to the narrower networks only, it predicts the widest one's shares within "
            f"{_range(model.errors_of_widest)}."
        )
    if model.link is not None:
        notes.append(
            f"Link, fitted to collectives alone: {1e6 * model.link.latency:.0f} us a collective and "
            f"{model.link.bandwidth / 1e9:.2f} GB/s."
        )
    return TablePart(
        title=f"Table 2 (d): the cost model against part (b), to which it was not fitted, {_machine(record)}",
        headers=("variant", "n", "p", "split", "overlap", "measured s", "model s", "error"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _predictions(record: ScalingRecord) -> TablePart:
    by_network: dict[tuple[int, int], list[Prediction]] = {}
    for found in predict_speedups(record):
        by_network.setdefault((found.widen_factor, found.groups), []).append(found)
    rows = [
        (
            f"WRN-28-{k}",
            f"{n}",
            f"{found[0].compute_seconds:.3g}",
            *(f"{one.speedup:.1f}x" for one in found),
            f"{found[0].ideal}x",
            "" if found[0].reported is None else f"{found[0].reported:.1f}x",
        )
        for (k, n), found in by_network.items()
    ]
    return TablePart(
        title=f"Table 2 (d), PREDICTED: speed-up from SC to GC-2L on n ranks, ranks as in part (c), {_machine(record)}",
        headers=("network", "n", "compute s", *(link.name for link in LINKS), "ideal n^2", "paper"),
        rows=tuple(rows),
        notes=(
            "Nothing in this part was run: compute is the fitted model's, latency and bandwidth are the links' nominal "
            "ones, nothing overlaps.",
            f"Compared with {baseline_text(record.planned)}; the paper's SC took 1, 2 and 3 GPUs.",
        ),
    )


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
