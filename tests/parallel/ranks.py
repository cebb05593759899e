"""Run a function on several gloo processes of this machine."""

import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_on_ranks(function: Callable[..., Any], count: int, *args: Any, timeout_seconds: float = 300) -> list[Any]:
    """What `function(*args)` returns on each of `count` ranks of a process group; an exception ends all of them."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (count, Path(folder), function, args, timeout_seconds)
        mp.start_processes(_rank, arguments, nprocs=count, start_method="forkserver")
        return [pickle.loads((Path(folder) / f"result{rank}").read_bytes()) for rank in range(count)]


def _rank(
    rank: int, count: int, folder: Path, function: Callable[..., Any], args: tuple[Any, ...], seconds: float
) -> None:
    warnings.simplefilter("error")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=seconds),
    )
    result = function(*args)
    (folder / f"result{rank}").write_bytes(pickle.dumps(result))
    dist.barrier()
    dist.destroy_process_group()
