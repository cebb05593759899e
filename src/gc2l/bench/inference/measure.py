"""Times of all libraries in turns, and the error of each."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from gc2l.bench.inference.case import Case, Runner
from gc2l.bench.inference.libraries import LIBRARIES, output_of
from gc2l.bench.layers import network_layers
from gc2l.models import build_model, paper_network
from gc2l.records.inference import InferenceTime, Refusal

Report = Callable[[str], None]
_REST = 0.02
"""Seconds after which the threads of the library before have stopped waiting for work, which takes the processor."""


def layer_cases(network: str, size: int, groups: Sequence[int], names: Sequence[str] | None = None) -> Iterator[Case]:
    """The grouped layers of a network of the paper, with random weights and one image, for every n that divides."""
    for shape in network_layers(network, size):
        if names is not None and str(shape) not in names:
            continue
        for n in groups:
            if shape.c_in % n or shape.c_out % n:
                continue
            conv = nn.Conv2d(shape.c_in, shape.c_out, shape.kernel, shape.stride, shape.kernel // 2, groups=n)
            x = torch.randn(1, shape.c_in, shape.size, shape.size)
            yield Case(
                name=str(shape),
                network=network,
                kernel=shape.kernel,
                variant="gc",
                groups=n,
                module=conv.eval().requires_grad_(False),
                x=x,
            )


def network_case(network: str, size: int, variant: str, groups: int) -> Case:
    """A whole network of the paper with fresh weights."""
    module = build_model(paper_network(network, variant, groups), num_classes=10).eval().requires_grad_(False)
    x = torch.randn(1, 3, size, size)
    return Case(name=network, network=network, kernel=0, variant=variant, groups=groups, module=module, x=x)


@dataclass
class _Ready:
    """A library with its runner and its turns."""

    library: str
    runner: Runner
    error: float
    repeats: int
    seconds: list[float] = field(default_factory=list)


def measure(
    case: Case, libraries: Sequence[str], threads: int, turns: int, report: Report
) -> tuple[list[InferenceTime], list[Refusal]]:
    """Run the case `turns` times in turns, each turn so often that it takes a few milliseconds.

    One thread is timed in processor time, which a busy machine disturbs least, more by the wall's clock.
    """
    ready, refusals = [], []
    for library in libraries:
        try:
            runner = LIBRARIES[library].prepare(case, threads)
            error = case.error(output_of(runner))
        except Exception as refused:
            # Whatever it raises, the others are still measured, and the reason is kept.
            reason = f"{type(refused).__name__}: {' '.join(str(refused).split())[:160]}"
            refusals.append(
                Refusal(case=case.name, variant=case.variant, groups=case.groups, library=library, reason=reason)
            )
            report(f"{library} leaves out {case.name}, n = {case.groups}: {reason}")
            continue
        ready.append(_Ready(library, runner, error, _repeats(runner)))
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    gc.disable()
    for turn in range(turns):
        for one in ready if turn % 2 == 0 else reversed(ready):
            if threads > 1:
                time.sleep(_REST)
            if one.repeats > 1:
                one.runner.run()  # brings back what the others drove from the caches
            started = clock()
            for _ in range(one.repeats):
                one.runner.run()
            one.seconds.append((clock() - started) / one.repeats)
    gc.enable()
    return [_time(case, one, threads) for one in ready], refusals


def _repeats(runner: Runner) -> int:
    started = time.perf_counter()
    runner.run()
    return max(1, min(50, round(0.004 / (time.perf_counter() - started))))


def _time(case: Case, one: _Ready, threads: int) -> InferenceTime:
    low, middle, high = statistics.quantiles(one.seconds, n=4, method="inclusive")
    return InferenceTime(
        case=case.name,
        network=case.network,
        kernel=case.kernel,
        variant=case.variant,
        groups=case.groups,
        threads=threads,
        library=one.library,
        seconds=_rounded(middle),
        low=_rounded(low),
        high=_rounded(high),
        turns=len(one.seconds),
        error=_rounded(one.error),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
