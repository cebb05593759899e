"""How many cells this machine can train at once, by the cores and memory available to this process."""

from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from gc2l.cells import Cell
from gc2l.records import RunStore
from gc2l.records.environment import usable_cores

CGROUP = Path("/sys/fs/cgroup")
ON_ONE_GPU = 6
"""The most processes that share a GPU; more have not been tried."""

_GIBIBYTE = 2**30
_UNKNOWN_NEED = 4 * _GIBIBYTE
_CONTEXT = _GIBIBYTE  # what a process takes of a GPU beside its tensors


def automatic_jobs(cells: Sequence[Cell], store: RunStore, device: str) -> int:
    """As many as there are cores and as the memory holds, at most one for each cell; on a GPU at most `ON_ONE_GPU`.

    The memory of a cell is estimated by the largest recorded run of its network, data set and batch size on that kind
    of device, 4 GiB without one. On a GPU twice as much is counted: a captured step keeps its memory to itself.

    Args:
        cells: what is to be trained.
        store: the records so far.
        device: "cpu", "cuda" or "mps", where one job at a time runs.
    """
    if device == "mps":
        return 1
    need = max(_needs(cells, store, device), default=_UNKNOWN_NEED)
    jobs = min(len(cells), cores())
    if device == "cuda":
        jobs = min(jobs, ON_ONE_GPU)
        need = 2 * need + _CONTEXT
    return max(1, min(jobs, int(free_memory(device) // need)))


def cores(cgroup: Path = CGROUP) -> int:
    """Cores that this process may use: those of its affinity, fewer where a container has a quota of their time."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        limit = max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no such limit: "max 100000", or no control groups of version 2
        return usable_cores()
    return min(usable_cores(), limit)


def free_memory(device: str, cgroup: Path = CGROUP) -> int:
    """Bytes that are free: of the GPU, or of the main memory and of the container's share of it."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    free = psutil.virtual_memory().available
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return free
    return min(free, limit - used)


def _needs(cells: Sequence[Cell], store: RunStore, device: str) -> list[int]:
    peaks: dict[str, int] = {}
    for record in (record for preset in {cell.preset for cell in cells} for record in store.all(preset)):
        if record.execution.device == device:
            kind = _kind(record.configuration)
            peaks[kind] = max(peaks.get(kind, 0), record.peak_memory_bytes)
    return [peaks.get(_kind(cell.configuration()), _UNKNOWN_NEED) for cell in cells]


def _kind(configuration: dict) -> str:
    model, data = configuration["model"], configuration["data"]
    size = [model[name] for name in ("network", "depth", "width")]
    return repr((size, sorted(data.items()), configuration["training"]["batch_size"]))
