"""Peak memory of one run, also of several in one process, and advice when memory runs out."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from gc2l.training.allocator import release_freed_memory

_RESET_PEAK = "5"  # see proc(5), /proc/pid/clear_refs


def reset_peak_memory(device: str) -> None:
    """Reset the peak; on a CPU this works on Linux only."""
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


@contextmanager
def advise_on_memory(batch_size: int, device: str) -> Iterator[None]:
    """Raise an error with advice if the block runs out of memory.

    Raises:
        MemoryError: in place of what torch raises.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _on_host(error):
            raise
        raise MemoryError(
            f"out of memory on the {device} with training.batch_size={batch_size}. Divide the channels between "
            "several processes (--parallel.channels), take a device with more memory, or, as a cell of its own, a "
            f"smaller batch (--training.batch-size {max(1, batch_size // 2)}). {error}"
        ) from error


def _on_host(error: RuntimeError) -> bool:
    # The CPU's allocator, C++ and oneDNN have no exception of their own in Python.
    return any(words in str(error) for words in ("allocate memory", "bad_alloc", "out of memory"))
