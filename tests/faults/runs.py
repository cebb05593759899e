"""Runs in processes of their own, forked from one that has imported everything, and ways to end them."""

import multiprocessing
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from gc2l.campaign.script import run_script

import psutil
import torch
from small_run import cell, execution

from gc2l.campaign.grid import run_missing
from gc2l.campaign.run import run_cell, run_cell_on_ranks
from gc2l.cells import Cell
from gc2l.parallel import Parallel, RankError, join_job
from gc2l.records import Record, RunStore

THREE_EPOCHS = cell(epochs=3)


def start(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start `function` in a new process, which ends with status 1 and a traceback in output.txt if it raises."""
    process = multiprocessing.get_context("forkserver").Process(target=_call, args=(function, arguments))
    process.start()
    return process


def end(process: BaseProcess, seconds: float = 300) -> int:
    """Wait for a process and return its exit status."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"a process still ran after {seconds} s")
    return process.exitcode


def run_alone(cell: Cell, folder: Path) -> None:
    """Train `cell` if it has no record."""
    run_cell(cell, RunStore(folder / "runs"), execution(folder))


def run_until_record(after: bool, cell: Cell, folder: Path) -> None:
    """`run_alone`, killed right before the record is kept, or right `after`."""
    save = RunStore.save

    def kill(store: RunStore, cell: Cell, record: Record) -> None:
        if after:
            save(store, cell, record)
        os.kill(os.getpid(), signal.SIGKILL)

    RunStore.save = kill  # type: ignore[assignment]
    run_alone(cell, folder)


def run_script_of(cell: Cell, folder: Path) -> None:
    """`run_alone` as a script of experiments/ runs it; a file `handles` tells that signals are handled."""

    def main() -> int:
        (folder / "handles").touch()
        run_alone(cell, folder)
        return 0

    run_script(main)


def run_with_limit(limit: int, size: int, cell: Cell, folder: Path) -> None:
    """`run_script_of` with a limit of the operating system.

    Args:
        limit: of the module `resource`.
        size: its value.
        cell: what to train.
        folder: where.
    """
    if limit == resource.RLIMIT_AS:
        size += psutil.Process().memory_info().vms
    resource.setrlimit(limit, (size, size))
    run_script_of(cell, folder)


def run_grid_with_limit(size: int, cells: list[Cell], folder: Path) -> None:
    """Train `cells` one after the other with so many bytes more than this process has; failures go to failures.txt."""
    size += psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    failures = run_missing(cells, RunStore(folder / "runs"), execution(folder))
    (folder / "failures.txt").write_text(
        "".join(f"{failure.cell.identity} {failure.message}\n" for failure in failures)
    )


def run_on_rank(rank: int, ranks: int, port: int, cell: Cell, folder: Path) -> None:
    """One of the ranks that divide the channels of `cell`."""
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    with join_job(Parallel(channels=ranks, timeout_seconds=300), device="cpu") as job:
        assert job is not None
        try:
            run_cell_on_ranks(cell, RunStore(folder / "runs"), execution(folder), job)
        except RankError:
            os._exit(1)  # what is left of a job whose other rank is dead


def run_on_rank_until_record(rank: int, ranks: int, port: int, cell: Cell, folder: Path) -> None:
    """`run_on_rank`, rank 0 killed right before the record is kept."""
    RunStore.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment, method-assign]
    run_on_rank(rank, ranks, port, cell, folder)


def die_at_call(last: int, function: Callable[..., Any], *arguments: Any) -> None:
    """Call `function`, in which the process kills itself right before or after one of its writes to disk.

    Args:
        last: the number of the moment, counted over every flush to disk and every change of a name.
        function: what to call.
        arguments: its arguments.
    """
    moments = 0

    def moment() -> None:
        nonlocal moments
        moments += 1
        if moments > last:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            moment()
            result = call(*arguments, **options)
            moment()
            return result

        return wrapper

    for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir"):
        setattr(os, name, watched(getattr(os, name)))
    function(*arguments)


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    folder = next((argument for argument in arguments if isinstance(argument, Path)), Path(os.devnull))
    output = folder / "output.txt" if folder.is_dir() else folder
    sys.stdout = sys.stderr = output.open("a", buffering=1)
    try:
        function(*arguments)
    except Exception:
        traceback.print_exc()
        os._exit(1)
