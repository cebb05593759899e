"""Training the cells of a grid that have no record yet, several at once.

Other processes may work on the same cells: none is trained by two of them.
"""

import contextlib
import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from typing import Literal

from gc2l.campaign.display import GridDisplay
from gc2l.campaign.labels import cell_labels
from gc2l.campaign.machine import automatic_jobs, cores
from gc2l.campaign.worker import Ended, log_path, work
from gc2l.cells import Cell
from gc2l.data import dataset_info
from gc2l.records import Record, RunStore
from gc2l.training import Execution

REFRESH_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A cell that could not be trained; attributes: cell, its label, message (why), log (what the run printed)."""

    cell: Cell
    label: str
    message: str
    log: Path


def run_missing(
    cells: Sequence[Cell], store: RunStore, execution: Execution, *, jobs: int | Literal["auto"] = 1
) -> list[Failure]:
    """Train every cell that has no record in `jobs` processes, and report progress on standard error.

    A failed cell does not end the grid. What a run prints goes to `log_path`. With more jobs than one, each has its
    share of the cores as threads, unless the execution names a number: the sums of such a run are rounded in another
    order than with all cores; the record names the threads. With no job nothing is trained.

    Returns:
        The cells that failed.

    Raises:
        ValueError: an execution that this machine does not support.
        KeyboardInterrupt: stopped, after all runs have been; every finished cell has its record, the others their
            checkpoints.
    """
    missing = [cell for cell in cells if store.find(cell) is None]
    for cell in missing:
        execution.resolve(dataset_info(cell.data.name).train_rows * cell.training.epochs)
    display = GridDisplay(len(missing), cell_labels(cells))
    display.line(f"{len(cells) - len(missing)} of {len(cells)} cells have a record, {len(missing)} to train")
    if not missing or jobs == 0:
        return []
    # By all cells, not by those that are missing, so that those trained later have the same threads.
    at_once = automatic_jobs(cells, store, execution.resolved_device()) if jobs == "auto" else jobs
    execution = replace(execution, progress=False)
    if at_once > 1:
        threads = execution.threads or max(1, cores() // at_once)
        execution = replace(execution, threads=threads)
        display.line(f"{min(at_once, len(missing))} at once, {threads} CPU thread{'s' if threads > 1 else ''} each")
    with display.showing():
        return _Grid(missing, store, execution, display).run(at_once)


class _Worker:
    """A process of `work`, and the cell that it trains."""

    def __init__(self, store: RunStore, execution: Execution) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA and OpenMP do not survive a fork
        self.connection, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, Path.cwd(), store, execution))
        self.process.start()
        other.close()  # so that the end of the process is the end of the connection
        self.cell: Cell | None = None

    def begin(self, cell: Cell) -> None:
        """Send a cell; a process that has died in the meantime is noticed by the next `receive`."""
        self.cell = cell
        with contextlib.suppress(OSError):
            self.connection.send(cell)

    def receive(self) -> object:
        """The next message; when the process died during a cell, its cause of death."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            status = self.process.exitcode or 0
            if status == -signal.SIGKILL:
                return Ended(message="killed (SIGKILL), as the system does when memory runs out", last=True)
            how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            return Ended(message=f"the process ended with {how}", last=True)


class _Grid:
    def __init__(self, waiting: list[Cell], store: RunStore, execution: Execution, display: GridDisplay) -> None:
        self.waiting, self.store, self.execution, self.display = waiting, store, execution, display
        self.workers: list[_Worker] = []
        self.failures: list[Failure] = []

    def run(self, jobs: int) -> list[Failure]:
        try:
            while self.waiting or any(worker.cell for worker in self.workers):
                self._assign(jobs)
                busy = [worker for worker in self.workers if worker.cell]
                ready = wait([worker.connection for worker in busy], timeout=REFRESH_SECONDS)
                for worker in busy:
                    if worker.connection in ready:
                        self._receive(worker)
                self.display.refresh()
        except BaseException:
            for worker in self.workers:
                worker.process.terminate()
            raise
        finally:
            for worker in self.workers:
                worker.connection.close()
            for worker in self.workers:
                worker.process.join()
        return self.failures

    def _assign(self, jobs: int) -> None:
        while self.waiting and sum(worker.cell is not None for worker in self.workers) < jobs:
            # Cells that other processes train come last: by then they may have a record.
            cell = next((cell for cell in self.waiting if self.store.trainer(cell) is None), self.waiting[0])
            self.waiting.remove(cell)
            if other := self.store.trainer(cell):
                self.display.line(f"{self.display.labels[cell.identity]} is being trained by {other}, waiting")
            worker = next((worker for worker in self.workers if worker.cell is None), None)
            if worker is None:
                self.workers.append(worker := _Worker(self.store, self.execution))
            worker.begin(cell)
            self.display.started(cell)

    def _receive(self, worker: _Worker) -> None:
        cell, message = worker.cell, worker.receive()
        assert cell is not None
        if not isinstance(message, Ended):
            self.display.progressed(cell, message)  # type: ignore[arg-type]
            return
        worker.cell = None
        if message.last:
            self.workers.remove(worker)
            worker.connection.close()
            worker.process.join()
        record = self.store.find(cell) if message.message is None else None
        if record is None:
            reason = message.message or "it left no record"
            label, log = self.display.labels[cell.identity], log_path(cell, self.execution)
            self.failures.append(Failure(cell=cell, label=label, message=reason, log=log))
            self.display.ended(cell, f"FAILED: {reason}", failed=True)
        else:
            self.display.ended(cell, _result(record), failed=False)


def _result(record: Record) -> str:
    if record.test is None:
        return f"diverged: {record.message}"
    return (
        f"test error {record.test.error_percent:.2f} % in {timedelta(seconds=round(record.wall_seconds))}, "
        f"{record.images_per_second:.0f} images/s"
    )
