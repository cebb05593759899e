"""A sweep agent without a server: it runs the cells that have no record and that no other agent runs."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gc2l.campaign.arguments import read_cell
from gc2l.campaign.labels import cell_labels
from gc2l.campaign.sweep import Sweep
from gc2l.cells import Cell
from gc2l.records import RunStore


@dataclass(frozen=True, kw_only=True)
class Job:
    """One point of a sweep; attributes: cell, its label, store (where its record belongs), command (that trains it)."""

    cell: Cell
    label: str
    store: RunStore
    command: Sequence[str]

    @property
    def recorded(self) -> bool:
        """Whether the cell has a record."""
        return self.store.find(self.cell) is not None


def open_jobs(sweep: Sweep, presets: Path) -> list[Job]:
    """The points of `sweep` whose cells have no record, in the sweep's order.

    Raises:
        ValueError: arguments that are not a cell, or two points with the same cell.
    """
    cells: dict[str, tuple[Cell, RunStore, Sequence[str]]] = {}
    read: dict[tuple[str, ...], tuple[Cell, RunStore]] = {}
    for point in sweep.points():
        # Reading takes some 40 ms, and cells of other seeds differ in nothing else.
        rest = {name: value for name, value in point.items() if name != "seed" or type(value) is not int}
        arguments = tuple(sweep.arguments(rest))
        if arguments not in read:
            read[arguments] = read_cell(sweep.arguments(point), presets)
        cell, store = read[arguments]
        if len(rest) < len(point):
            cell = replace(cell, seed=point["seed"])  # type: ignore[arg-type]
        if cell.identity in cells:
            raise ValueError(f"the sweep {sweep.name!r} lists {cell.slug} more than once")
        cells[cell.identity] = cell, store, sweep.command_line(point)
    labels = cell_labels([cell for cell, _, _ in cells.values()])
    jobs = [
        Job(cell=cell, label=labels[identity], store=store, command=command)
        for identity, (cell, store, command) in cells.items()
    ]
    return [job for job in jobs if not job.recorded]


def run_agent(jobs: Sequence[Job], *, count: int | None, run: Callable[[Sequence[str]], int]) -> int:
    """Run `jobs` one after the other, until `count` are done or no job is free.

    Args:
        jobs: what to run.
        count: the number of jobs after which to stop.
        run: runs a command and returns its exit status.

    Returns:
        The number of jobs that failed. Other agents and later calls try them again.
    """
    waiting, started, failed = list(jobs), 0, 0
    while (count is None or started < count) and (status := _run_next(waiting, run)) is not None:
        started += 1
        failed += status != 0
    if count is None or started < count:
        for job in waiting:
            _log(f"{job.label} is left to another agent")
    _log(f"{started} cells run, {failed} of them failed")
    return failed


def run_command(command: Sequence[str]) -> int:
    """Run `command` and return its exit status; when this process is stopped, it stops the command and waits for it."""
    # Ctrl-C goes to the terminal's whole session. A session of its own means that the command is stopped only once.
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()  # Popen itself waits only briefly after Ctrl-C
            raise


def _run_next(waiting: list[Job], run: Callable[[Sequence[str]], int]) -> int | None:
    """Run the first job that is free and remove it from `waiting`; the exit status, or None if none is free."""
    for job in list(waiting):
        with job.store.claim(job.cell) as claimed:
            if not claimed:
                continue
            if job.recorded:
                waiting.remove(job)
            # An agent that was killed may have left its run behind, and not every run belongs to an agent.
            elif job.store.trainer(job.cell) is None:
                waiting.remove(job)
                _log(f"{job.label} ...")
                status = run(job.command)
                if status != 0:
                    _log(f"{job.label} ended with exit status {status}")
                return status
    return None


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
