"""Parts of claims that compare training runs: differences between convolutions and between their slopes."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gc2l.analysis.claims.claim import Convolution, ScaleRuns
from gc2l.analysis.claims.verdict import Claimed, Part, Verdict, decide, p_against
from gc2l.analysis.labels import estimate_text, executions_label, seeds_label
from gc2l.analysis.selection import seeds_by_execution
from gc2l.analysis.statistics import Estimate, mean_interval, paired_difference, slope
from gc2l.records import Interval, Record
from gc2l.variants import VARIANTS


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number of a finished run: what it is, its unit, and how to get it."""

    name: str
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


TEST_ERROR = Measure(name="test error", unit="points", of=_error_percent)
FINAL_LOSS = Measure(name="final training loss", unit="nats", of=_last_losses)


def difference(
    runs: ScaleRuns, first: Convolution, second: Convolution, claimed: Claimed, measure: Measure = TEST_ERROR
) -> Part:
    """The paired difference `measure`(first) - `measure`(second) over the seeds that both have finished."""
    name = f"n = {max(first[1], second[1])}: {VARIANTS[first[0]].label} - {VARIANTS[second[0]].label}"
    a, b = runs.finished(first), runs.finished(second)
    seeds = _common_seeds(runs, (first, second))
    if not seeds:
        return _untested(name, claimed, measure.unit, runs, (first, second))

    def effect(of: Sequence[int]) -> Estimate:
        return paired_difference([measure.of(a[seed]) for seed in of], [measure.of(b[seed]) for seed in of])

    return _judged(name, effect, claimed, measure.unit, runs, (first, second), seeds)


def slope_above(runs: ScaleRuns, variant: str, claimed: Claimed) -> Part:
    """The mean over the seeds of the slope of `variant`'s test error against log2 n."""
    name = f"slope of {VARIANTS[variant].label}"
    convolutions = _ladder(runs, variant)
    seeds = _common_seeds(runs, convolutions)
    if not seeds:
        return _untested(name, claimed, _SLOPE_UNIT, runs, convolutions)

    def effect(of: Sequence[int]) -> Estimate:
        return mean_interval(_slopes(runs, variant, of))

    return _judged(name, effect, claimed, _SLOPE_UNIT, runs, convolutions, seeds, note=_pooled(runs, variant, seeds))


def slope_difference(runs: ScaleRuns, first: str, second: str, claimed: Claimed) -> Part:
    """The paired difference over the seeds: slope of `first` minus slope of `second`."""
    name = f"slope: {VARIANTS[first].label} - {VARIANTS[second].label}"
    convolutions = (*_ladder(runs, first), *_ladder(runs, second))
    seeds = _common_seeds(runs, convolutions)
    if not seeds:
        return _untested(name, claimed, _SLOPE_UNIT, runs, convolutions)

    def effect(of: Sequence[int]) -> Estimate:
        return paired_difference(_slopes(runs, first, of), _slopes(runs, second, of))

    note = f"{_pooled(runs, first, seeds)}, {_pooled(runs, second, seeds)}"
    return _judged(name, effect, claimed, _SLOPE_UNIT, runs, convolutions, seeds, note=note)


_SLOPE_UNIT = "points per doubling of n"


def _ladder(runs: ScaleRuns, variant: str) -> tuple[Convolution, ...]:
    # n = 1 is the same standard convolution for all: each slope shall rest on its own variant's runs.
    return tuple((variant, groups) for groups in runs.groups)


def _slopes(runs: ScaleRuns, variant: str, seeds: Iterable[int]) -> list[float]:
    return [_line(runs, variant, [seed]).value for seed in seeds]


def _pooled(runs: ScaleRuns, variant: str, seeds: Sequence[int]) -> str:
    line = _line(runs, variant, seeds)
    return f"pooled slope of {VARIANTS[variant].label} {line.value:.2f} (standard error {line.standard_error:.2f})"


def _line(runs: ScaleRuns, variant: str, seeds: Sequence[int]) -> Estimate:
    """The least-squares line of test error against log2 n through the points of all `seeds`."""
    finished = {groups: runs.finished((variant, groups)) for groups in runs.groups}
    points = [
        (math.log2(groups), TEST_ERROR.of(of_seed[seed])) for groups, of_seed in finished.items() for seed in seeds
    ]
    errors = [error for _, error in points]
    if min(errors) == max(errors):  # scipy has no standard error, only nan, for a level line
        return Estimate(value=0.0, standard_error=0.0, interval=Interval(low=0.0, high=0.0), count=len(errors))
    return slope([x for x, _ in points], errors)


def _common_seeds(runs: ScaleRuns, convolutions: Iterable[Convolution]) -> list[int]:
    """The seeds with which all of these have finished, on one kind of device in one precision."""
    finished = [runs.finished(convolution) for convolution in convolutions]
    shared = set.intersection(*(set(of_seed) for of_seed in finished))
    return sorted(seed for seed in shared if len(seeds_by_execution(of_seed[seed] for of_seed in finished)) == 1)


def _judged(
    name: str,
    effect_of: Callable[[Sequence[int]], Estimate],
    claimed: Claimed,
    unit: str,
    runs: ScaleRuns,
    convolutions: Sequence[Convolution],
    seeds: Sequence[int],
    note: str = "",
) -> Part:
    diverged = _diverged(runs, convolutions)
    effect = effect_of(seeds)
    executions = seeds_by_execution(runs.finished(convolutions[0])[seed] for seed in seeds)
    largest = next(iter(executions.values()))
    alone = ""
    if len(executions) > 1:
        most = effect_of(largest)
        text = estimate_text(most.value, most.interval)
        alone = f"{executions_label(executions)}; {seeds_label(largest)} alone: {text}, {decide(most, claimed)}"
    left_out = _mixed_seeds(runs, convolutions, seeds)
    return Part(
        name=name,
        verdict=Verdict.INCONCLUSIVE if diverged else decide(effect, claimed),
        claimed=claimed,
        unit=unit,
        effect=effect.value,
        interval=effect.interval,
        p_against=p_against(effect, claimed),
        seeds=tuple(seeds),
        runs=tuple(runs.finished(convolution)[seed].identity for convolution in convolutions for seed in seeds),
        diverged=bool(diverged),
        note="; ".join(filter(None, (note, alone, left_out, diverged))),
    )


def _mixed_seeds(runs: ScaleRuns, convolutions: Sequence[Convolution], seeds: Sequence[int]) -> str:
    """The seeds that are left out because their runs differ in device or precision, in words."""
    shared = set.intersection(*(set(runs.finished(convolution)) for convolution in convolutions))
    mixed = sorted(shared - set(seeds))
    return f"{seeds_label(mixed)} left out: the runs differ in device or precision" if mixed else ""


def _untested(name: str, claimed: Claimed, unit: str, runs: ScaleRuns, convolutions: Sequence[Convolution]) -> Part:
    lacks = tuple(convolution for convolution in convolutions if not runs.finished(convolution))
    reason = f"no finished run of {describe(lacks)}" if lacks else "no seed that all of these runs share"
    notes = (reason, _mixed_seeds(runs, convolutions, ()), _diverged(runs, convolutions))
    note = "; ".join(filter(None, notes))
    return Part(name=name, verdict=Verdict.NOT_YET_TESTED, claimed=claimed, unit=unit, lacks=lacks, note=note)


def describe(convolutions: Iterable[Convolution]) -> str:
    """The convolutions in words, each once, such as "SC, GC n = 2, 4"."""
    groups: dict[str, set[int]] = defaultdict(set)
    for variant, number in convolutions:
        groups[variant].add(number)
    return ", ".join(
        VARIANTS[variant].label + ("" if variant == "sc" else f" n = {', '.join(map(str, sorted(numbers)))}")
        for variant, numbers in groups.items()
    )


def _diverged(runs: ScaleRuns, convolutions: Iterable[Convolution]) -> str:
    return ", ".join(
        f"{describe([convolution])} diverged with seed {seed}"
        for convolution in convolutions
        for seed in runs.diverged(convolution)
    )
