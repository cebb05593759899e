"""Parts of claims that compare training runs: differences between convolutions and between their slopes."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gc2l.analysis.claims.claim import Convolution, ScaleRuns
from gc2l.analysis.claims.verdict import Claimed, Part, Verdict, decide, estimated_part
from gc2l.analysis.labels import estimate_text, executions_label, seeds_label
from gc2l.analysis.selection import ran_alike, seeds_by_execution
from gc2l.analysis.statistics import Estimate, mean_interval, paired_difference, slope
from gc2l.records import Record
from gc2l.variants import VARIANTS

_SLOPE_UNIT = "points per doubling of n"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number of a finished run."""

    unit: str
    of: Callable[[Record], float]


def _error_percent(record: Record) -> float:
    if record.test is None:
        raise ValueError(f"the run {record.identity} diverged: it has no test error")
    return record.test.error_percent


def _last_losses(record: Record) -> float:
    """The mean training loss of the last tenth of the epochs, at least one."""
    last = record.curve[-max(1, len(record.curve) // 10) :]
    return sum(epoch.train_loss for epoch in last) / len(last)


TEST_ERROR = Measure(unit="points", of=_error_percent)
FINAL_LOSS = Measure(unit="nats", of=_last_losses)


def difference(
    runs: ScaleRuns, first: Convolution, second: Convolution, claimed: Claimed, measure: Measure = TEST_ERROR
) -> Part:
    """The paired difference `measure`(first) - `measure`(second) over the seeds that both have finished."""
    a, b = runs.finished(first), runs.finished(second)

    def effect(seeds: Sequence[int]) -> Estimate:
        return paired_difference([measure.of(a[seed]) for seed in seeds], [measure.of(b[seed]) for seed in seeds])

    name = f"n = {max(first[1], second[1])}: {VARIANTS[first[0]].label} - {VARIANTS[second[0]].label}"
    printed = runs.reported_percent
    reported = None
    if measure is TEST_ERROR and first in printed and second in printed:
        reported = printed[first] - printed[second]
    return _part(name, effect, claimed, measure.unit, runs, (first, second), reported)


def slope_comparison(runs: ScaleRuns, variants: Sequence[str], claimed: Claimed) -> Part:
    """The slope of test error against log2 n of one variant, or of a first minus that of a second, over the seeds.

    Each slope rests on its own variant's runs: at n = 1 all have the same standard convolution.
    """

    def effect(seeds: Sequence[int]) -> Estimate:
        slopes = [[_line(runs, variant, [seed]).value for seed in seeds] for variant in variants]
        return paired_difference(*slopes) if len(slopes) > 1 else mean_interval(slopes[0])

    def pooled(seeds: Sequence[int]) -> str:
        lines = {VARIANTS[variant].label: _line(runs, variant, seeds) for variant in variants}
        return ", ".join(
            f"pooled slope of {label} {line.value:.2f} (standard error {line.standard_error:.2f})"
            for label, line in lines.items()
        )

    labels = " - ".join(VARIANTS[variant].label for variant in variants)
    name = f"slope: {labels}" if len(variants) > 1 else f"slope of {labels}"
    convolutions = [(variant, groups) for variant in variants for groups in runs.groups]
    reported = None
    if all(convolution in runs.reported_percent for convolution in convolutions):
        lines = [
            slope(list(map(math.log2, runs.groups)), [runs.reported_percent[variant, n] for n in runs.groups]).value
            for variant in variants
        ]
        reported = lines[0] - sum(lines[1:])
    return _part(name, effect, claimed, _SLOPE_UNIT, runs, convolutions, reported, pooled)


def _line(runs: ScaleRuns, variant: str, seeds: Sequence[int]) -> Estimate:
    """The least-squares line of test error against log2 n through the points of all `seeds`."""
    finished = {groups: runs.finished((variant, groups)) for groups in runs.groups}
    points = [
        (math.log2(groups), TEST_ERROR.of(of_seed[seed])) for groups, of_seed in finished.items() for seed in seeds
    ]
    return slope(*zip(*points, strict=True))


def _part(
    name: str,
    effect_of: Callable[[Sequence[int]], Estimate],
    claimed: Claimed,
    unit: str,
    runs: ScaleRuns,
    convolutions: Sequence[Convolution],
    reported: float | None,
    note_on: Callable[[Sequence[int]], str] = lambda seeds: "",
) -> Part:
    """The part over the seeds with which all convolutions have finished, executed alike."""
    finished = [runs.finished(convolution) for convolution in convolutions]
    shared = sorted(set.intersection(*map(set, finished)))
    seeds = [seed for seed in shared if ran_alike(of_seed[seed] for of_seed in finished)]
    mixed = [seed for seed in shared if seed not in seeds]
    left_out = ""
    if mixed:
        left_out = f"{seeds_label(mixed)} left out: the runs differ in device, precision, images or division of batches"
    diverged = ", ".join(
        f"{describe([convolution])} diverged with seed {seed}"
        for convolution in convolutions
        for seed in runs.diverged(convolution)
    )
    if not seeds:
        lacks = tuple(convolution for convolution, found in zip(convolutions, finished, strict=True) if not found)
        reason = f"no finished run of {describe(lacks)}" if lacks else "no seed that all of these runs share"
        note = "; ".join(filter(None, (reason, left_out, diverged)))
        return Part(
            name=name,
            verdict=Verdict.NOT_YET_TESTED,
            claimed=claimed,
            unit=unit,
            reported=reported,
            lacks=lacks,
            note=note,
        )
    executions = seeds_by_execution(finished[0][seed] for seed in seeds)
    alone = ""
    if len(executions) > 1:
        largest = next(iter(executions.values()))
        most = effect_of(largest)
        text = estimate_text(most.value, most.interval)
        alone = f"{executions_label(executions)}; {seeds_label(largest)} alone: {text}, {decide(most, claimed)}"
    return estimated_part(
        name,
        effect_of(seeds),
        claimed,
        unit,
        reported=reported,
        seeds=tuple(seeds),
        runs=tuple(of_seed[seed].identity for of_seed in finished for seed in seeds),
        diverged=bool(diverged),
        note="; ".join(filter(None, (note_on(seeds), alone, left_out, diverged))),
    )


def describe(convolutions: Iterable[Convolution]) -> str:
    """The convolutions in words, each once, such as "SC, GC n = 2, 4"."""
    groups: dict[str, set[int]] = defaultdict(set)
    for variant, number in convolutions:
        groups[variant].add(number)
    return ", ".join(
        VARIANTS[variant].label + ("" if variant == "sc" else f" n = {', '.join(map(str, sorted(numbers)))}")
        for variant, numbers in groups.items()
    )
