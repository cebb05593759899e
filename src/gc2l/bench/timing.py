"""Ratios of running times that hold on a busy machine: medians over rounds in which the candidates alternate."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A running time relative to that of the base.

    Attributes:
        median: of the ratios in each round.
        low, high: their quartiles.
        seconds: median running time.
        rounds: their number.
    """

    median: float
    low: float
    high: float
    seconds: float
    rounds: int


def time_run(run: Callable[[], object]) -> float:
    """Seconds of one run on the processor."""
    started = clock()
    run()
    return clock() - started


def alternate(
    candidates: Mapping[str, Callable[[], object]],
    base: str,
    rounds: int,
    seconds_of: Callable[[Callable[[], object]], float] = time_run,
) -> dict[str, Ratio]:
    """Run all candidates once to warm up, then once in each round, in reverse order in every second round.

    Args:
        candidates: what to run, by name.
        base: name of the candidate that the others are compared with.
        rounds: at least 2, for quartiles.
        seconds_of: runs a candidate and returns its time.

    Raises:
        ValueError: fewer than 2 rounds, or a base that is no candidate.
    """
    if rounds < 2:
        raise ValueError(f"rounds={rounds} must be at least 2")
    if base not in candidates:
        raise ValueError(f"base={base!r} must be one of {', '.join(map(repr, candidates))}")
    return compare(alternating_seconds(candidates, rounds, seconds_of), base)


def alternating_seconds(
    candidates: Mapping[str, Callable[[], Any]], rounds: int, seconds_of: Callable[[Callable[[], Any]], float]
) -> dict[str, list[float]]:
    """The times of every candidate by its name, measured as `alternate` does."""
    for run in candidates.values():
        run()
    names = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            seconds[name].append(seconds_of(candidates[name]))
    return seconds


def compare(seconds: Mapping[str, list[float]], base: str) -> dict[str, Ratio]:
    """The ratios of running times to those of `base`, by name, from lists with a time for each round."""
    return {name: _ratio(times, seconds[base]) for name, times in seconds.items()}


def clock() -> float:
    """Seconds; for one thread on a CPU its processor time, which excludes the machine's other load."""
    if torch.get_num_threads() == 1 and not torch.cuda.is_available():
        return time.process_time()
    return time.perf_counter()


def _ratio(times: list[float], base: list[float]) -> Ratio:
    ratios = [mine / other for mine, other in zip(times, base, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median=median, low=low, high=high, seconds=statistics.median(times), rounds=len(times))
