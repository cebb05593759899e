"""Peak memory of one run, also when several runs follow each other in one process."""

import resource
import sys
from pathlib import Path

import torch

from gc2l.training.allocator import release_freed_memory

_RESET_PEAK = "5"  # see proc(5), /proc/pid/clear_refs


def reset_peak_memory(device: str) -> None:
    """Forget the peak so far; on a CPU this works on Linux only."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    release_freed_memory()  # what an earlier run left is not this one's
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return  # not Linux, or not allowed: the peak is then that of the whole process


def peak_memory_bytes(device: str) -> int:
    """Peak of the GPU's allocations, or of the resident memory of this process, since the last reset."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
