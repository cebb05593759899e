"""(d) Measured limits of the machine: matrix products and memory bandwidth."""

import statistics
import time
from collections.abc import Callable

import torch

from gc2l.bench.device import CPU, Device


def peak_flops(seconds: float, *, side: int = 2048, device: Device = CPU) -> float:
    """The highest floating-point operations per second among square matrix products over `seconds`."""
    a, b, out = (torch.randn(side, side, device=device.name).to(device.dtype) for _ in range(3))
    return 2 * side**3 / _quickest(lambda: torch.mm(a, b, out=out), seconds, device)


def peak_bandwidth(seconds: float, *, mebibytes: int = 512, device: Device = CPU) -> float:
    """The highest bytes per second, read and written, of copies too large for the caches."""
    source = torch.ones(mebibytes * 2**18, device=device.name)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _quickest(lambda: target.copy_(source), seconds, device)


def _quickest(run: Callable[[], object], seconds: float, device: Device) -> float:
    """The lowest decile of running times: a limit of the machine, whatever else it runs."""
    run()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        times.append(device.seconds_of(run))
    return statistics.quantiles(times, n=10)[0] if len(times) > 10 else min(times)
