"""Many processes on the same cells, some of them killed: every cell gets exactly one record, and no two train it."""

import functools
import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

from faults.runs import end, start
from records.samples import record
from small_run import execution

from gc2l.campaign import run as campaign
from gc2l.campaign.agent import Job, run_agent
from gc2l.cells import Cell, TrainingConfig
from gc2l.records import RunStore
from gc2l.training import Execution

CELLS = [Cell(preset="tiny", seed=seed, training=TrainingConfig(epochs=3)) for seed in range(1, 9)]


def _pretend(folder: Path, cell: Cell, _: Execution) -> SimpleNamespace:
    """Take a moment in place of training; two processes that do so for one cell at a time leave a file `twice`."""
    own = folder / f"training-{cell.seed}"
    try:
        other = int(own.read_text() or 0)
        if other and Path(f"/proc/{other}/stat").exists() and ") Z" not in Path(f"/proc/{other}/stat").read_text():
            (folder / "twice").touch()
    except (FileNotFoundError, ProcessLookupError):
        pass
    own.write_text(str(os.getpid()))
    time.sleep(random.uniform(0.02, 0.3))
    with (folder / "trained").open("a") as log:
        log.write(f"{cell.seed}\n")
    own.unlink()
    return record(cell)


def _train(cell: Cell, folder: Path) -> None:
    pretend = functools.partial(_pretend, folder)
    campaign.run_cell(cell, RunStore(folder / "runs"), execution(folder), train=pretend)


def _grid(folder: Path) -> None:
    for cell in random.sample(CELLS, len(CELLS)):
        _train(cell, folder)


def _agent(folder: Path) -> None:
    store = RunStore(folder / "runs")
    jobs = [Job(cell=cell, label=cell.slug, store=store, command=[str(cell.seed)]) for cell in CELLS]

    def run(command):
        _train(CELLS[int(command[0]) - 1], folder)
        return 0

    run_agent(jobs, count=None, run=run)


def test_sixteen_processes_and_four_agents(trials, tmp_path):
    processes, agents = (16, 4) if trials.long else (4, 2)

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        running = [start(_grid, folder) for _ in range(processes)] + [start(_agent, folder) for _ in range(agents)]
        for _ in range(agents):
            time.sleep(rng.uniform(0, 0.5))
            rng.choice(running).kill()
        assert {end(process) for process in running} <= {0, -9}, (folder / "output.txt").read_text()
        assert end(start(_grid, folder)) == 0
        assert not (folder / "twice").exists()
        store = RunStore(folder / "runs")
        assert [found.seed for found in store.all()] == [cell.seed for cell in CELLS]
        trained = (folder / "trained").read_text().split()
        assert len(trained) <= len(CELLS) + agents  # a process killed between the end of training and the record

    trials.run("16 processes on a grid, 4 agents, some killed: every cell one record", trial, short=1, long=100)


def test_a_lock_that_a_machine_left(trials, tmp_path):
    def trial(rng):
        store = RunStore(tmp_path / str(rng.random()))
        lock = store.folder / ".locks" / f"{CELLS[0].identity}.lock"
        lock.parent.mkdir(parents=True)
        lock.write_bytes(rng.choice([b"", b"1\ngone\n", b"4711\nnode3\n", rng.randbytes(20)]))
        assert store.trainer(CELLS[0]) is None
        with store.exclusive(CELLS[0], waiting=lambda who: (_ for _ in ()).throw(AssertionError(who))) as found:
            assert found is None
            store.save(CELLS[0], record(CELLS[0]))

    trials.run("lock file of a machine that is gone: free", trial, short=5, long=100)
