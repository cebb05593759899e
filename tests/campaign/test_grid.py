"""A grid's cells in several processes: what is handed out, what a failure and a signal do."""

import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from records import samples
from small_run import cell, execution

from gc2l.campaign import grid, machine
from gc2l.campaign.grid import run_missing
from gc2l.campaign.worker import Ended
from gc2l.records import RunStore
from gc2l.training import Execution, Progress

ROOT = Path(__file__).parents[2]
CELLS = [replace(cell(), seed=seed) for seed in range(1, 6)]


class Threads:
    """Threads in place of processes: `multiprocessing.get_context`, as far as the grid uses it."""

    Pipe = staticmethod(Pipe)

    def __init__(self):
        self.started = []

    def Process(self, target, args):
        own = Connection(os.dup(args[0].fileno()))  # as a process has its own of all that is open
        process = threading.Thread(target=target, args=(own, *args[1:]), daemon=True)
        process.execution, process.exitcode, process.terminated = args[-1], 0, False
        process.terminate = lambda: setattr(process, "terminated", True)
        self.started.append(process)
        return process


@pytest.fixture
def processes(monkeypatch):
    threads = Threads()
    monkeypatch.setattr(grid.multiprocessing, "get_context", lambda method: threads)
    return threads


@pytest.fixture
def trained(monkeypatch):
    """Seeds in the order in which they were trained, by a worker that does nothing else; `deeds` are exceptions."""
    seeds, deeds = [], {}

    def work(connection, folder, store, how):
        try:
            while True:
                cell = connection.recv()
                seeds.append(cell.seed)
                connection.send(Progress(epoch=1, epochs=3, share=0.1, images_per_second=123.4))
                deed = deeds.get(cell.seed, "save")
                if deed == "die":
                    return
                if isinstance(deed, Ended):
                    connection.send(deed)
                    if deed.last:
                        return
                else:
                    store.save(cell, samples.record(cell))
                    connection.send(Ended())
        except (EOFError, OSError):
            pass
        finally:
            connection.close()

    monkeypatch.setattr(grid, "work", work)
    return seeds, deeds


def test_what_has_a_record_is_not_trained_and_one_process_does_the_rest(processes, trained, tmp_path, capsys):
    store = RunStore(tmp_path)
    store.save(CELLS[1], samples.record(CELLS[1]))
    assert run_missing(CELLS, store, execution(tmp_path)) == []
    assert trained[0] == [1, 3, 4, 5]
    assert len(processes.started) == 1
    assert not any(process.is_alive() for process in processes.started)
    told = capsys.readouterr().err
    assert "1 of 5 cells have a record, 4 to train" in told
    assert f"[4/4] {CELLS[4].slug}: test error" in told and "about 0:00:00 left for the grid" in told
    assert run_missing(CELLS, store, execution(tmp_path)) == []
    assert len(processes.started) == 1


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_failed_cell_does_not_end_the_grid(jobs, processes, trained, tmp_path, capsys):
    seeds, deeds = trained
    deeds |= {1: Ended(message="groups=3"), 2: Ended(message="out of memory", last=True), 3: "die"}
    failures = run_missing(CELLS, RunStore(tmp_path), execution(tmp_path), jobs=jobs)
    assert sorted(seeds) == [1, 2, 3, 4, 5]
    told = {failure.cell.seed: failure.message for failure in failures}
    assert told == {1: "groups=3", 2: "out of memory", 3: "the process ended with exit status 0"}
    assert len(RunStore(tmp_path).all()) == 2
    assert "FAILED: out of memory" in capsys.readouterr().err
    if jobs == 1:
        assert len(processes.started) == 3  # a process that may have been harmed is replaced


@pytest.mark.parametrize(
    ("status", "message"),
    [(-signal.SIGKILL, "as the system does when memory runs out"), (-signal.SIGSEGV, "SIGSEGV"), (3, "exit status 3")],
)
def test_how_a_process_died_is_told(status, message, processes, trained, tmp_path):
    trained[1][1] = "die"
    make = processes.Process

    def dying(**arguments):
        process = make(**arguments)
        process.exitcode = status
        return process

    processes.Process = dying
    (failure,) = run_missing(CELLS[:1], RunStore(tmp_path), execution(tmp_path))
    assert message in failure.message


def test_a_cell_that_another_process_trains_comes_last(processes, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(RunStore, "trainer", lambda self, cell: "process 4711 on node3" if cell.seed == 1 else None)
    run_missing(CELLS, RunStore(tmp_path), execution(tmp_path))
    assert trained[0] == [2, 3, 4, 5, 1]
    assert f"{CELLS[0].slug} is being trained by process 4711 on node3, waiting" in capsys.readouterr().err


def test_stopped_it_stops_every_process_and_waits_for_it(processes, trained, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(grid.GridDisplay, "progressed", stop)
    with pytest.raises(KeyboardInterrupt):
        run_missing(CELLS, RunStore(tmp_path), execution(tmp_path), jobs=2)
    assert [process.terminated for process in processes.started] == [True, True]
    assert not any(process.is_alive() for process in processes.started)


@pytest.mark.parametrize(
    ("jobs", "asked", "threads"),
    [(1, None, None), (2, None, 3), (5, None, 1), (7, None, 1), (2, 4, 4), ("auto", None, 2)],
)
def test_jobs_divide_the_cores_unless_threads_are_asked_for(
    jobs, asked, threads, processes, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(grid, "cores", lambda: 7)
    monkeypatch.setattr(grid, "automatic_jobs", lambda cells, store, device: 3)
    how = Execution(device="cpu", wandb="disabled", scratch=tmp_path, threads=asked)
    run_missing(CELLS, RunStore(tmp_path), how, jobs=jobs)
    assert {process.execution.threads for process in processes.started} == {threads}
    assert len(processes.started) <= (3 if jobs == "auto" else jobs)


@pytest.mark.parametrize(("jobs", "threads"), [(4, 2), ("auto", 1)])
def test_all_cells_of_a_grid_have_the_same_threads(jobs, threads, processes, trained, tmp_path, monkeypatch):
    for module in (grid, machine):
        monkeypatch.setattr(module, "cores", lambda: 8)
    monkeypatch.setattr(machine, "free_memory", lambda device: 100 * 2**30)
    how = Execution(device="cpu", wandb="disabled", scratch=tmp_path)
    cells = [replace(CELLS[0], seed=seed) for seed in range(1, 9)]
    for known in (0, 5, 7):
        store = RunStore(tmp_path / f"{known}")
        for known_cell in cells[:known]:
            store.save(known_cell, samples.record(known_cell))
        processes.started.clear()
        run_missing(cells, store, how, jobs=jobs)
        assert {process.execution.threads for process in processes.started} == {threads}


def test_without_jobs_nothing_is_trained(processes, tmp_path, capsys):
    assert run_missing(CELLS, RunStore(tmp_path), execution(tmp_path), jobs=0) == []
    assert not processes.started
    assert f"0 of {len(CELLS)} cells have a record" in capsys.readouterr().err


def test_an_execution_that_the_machine_has_not_is_refused_at_once(processes, trained, tmp_path):
    with pytest.raises(ValueError, match=r"execution\.threads=0"):
        run_missing(CELLS, RunStore(tmp_path), execution(tmp_path, threads=0), jobs=2)
    assert not processes.started


@pytest.mark.usefixtures("forked")
def test_real_processes_survive_a_wrong_cell_and_one_without_memory(tmp_path):
    good = cell(epochs=1)
    wrong = cell(epochs=1, variant="gc", groups=3)
    huge = replace(good, model=replace(good.model, width=1e12, variant="sc", groups=1))  # beyond any address space
    failures = run_missing([wrong, huge, good], RunStore(tmp_path), execution(tmp_path), jobs=2)
    messages = {failure.cell.identity: failure.message for failure in failures}
    assert set(messages) == {wrong.identity, huge.identity}
    assert "in_channels=16 is not divisible by groups=3" in messages[wrong.identity]
    assert "memory" in messages[huge.identity] or "overflow" in messages[huge.identity]
    logs = {failure.cell.identity: failure.log.read_text() for failure in failures}
    assert "Traceback" in logs[huge.identity] and "Traceback" not in logs[wrong.identity]
    assert [record.identity for record in RunStore(tmp_path).all()] == [good.identity]


def test_a_stopped_table_ends_its_processes_in_order(python, tmp_path):
    # The suite's script beside presets whose cells do not end while the test looks away.
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments", ignore=shutil.ignore_patterns("__pycache__"))
    preset = tmp_path / "experiments" / "presets" / "digits.toml"
    preset.write_text(preset.read_text().replace("epochs = 10,", "epochs = 1000,"))
    command = [
        *(str(python), str(tmp_path / "experiments" / "table1.py"), "--jobs", "2"),
        *("--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "tables")),
        *("--execution.scratch", str(tmp_path), "--execution.wandb", "disabled", "--execution.device", "cpu"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            while len({path.parent for path in tmp_path.glob("checkpoints/*/*.ckpt")}) < 2:
                assert running.poll() is None, running.communicate()[1]
                time.sleep(0.05)
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does
            errors = running.communicate(timeout=200)[1]
        finally:
            running.kill()
    assert running.returncode == 130, errors
    assert "the same command continues where it was" in errors and "Traceback" not in errors
    logs = [path.read_text() for path in tmp_path.glob("logs/*.log")]
    assert sum("stopped" in log for log in logs) == 2
    assert not any("Traceback" in log for log in logs)
    assert not list(tmp_path.glob("runs/**/*.json"))


@pytest.fixture
def limits(tmp_path, monkeypatch):
    """A machine with 8 cores and 20 GiB, in a container."""
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 20 * 2**30}))

    def write(**files):
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(("text", "expected"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1)])
def test_cores_follow_the_quota_of_a_container(text, expected, limits):
    assert machine.cores(limits(cpu_max=text)) == expected
    assert machine.cores(Path("/nowhere")) == 8


def test_memory_follows_the_limit_of_a_container(limits):
    assert machine.free_memory("cpu", limits(memory_max="max", memory_current="5")) == 20 * 2**30
    assert machine.free_memory("cpu", limits(memory_max="100", memory_current="5")) == 95
    assert machine.free_memory("cpu", Path("/nowhere")) == 20 * 2**30


@pytest.mark.parametrize(
    ("device", "free", "expected"), [("cpu", 13, 3), ("cpu", 1, 1), ("cpu", 100, 5), ("cuda", 30, 3), ("mps", 100, 1)]
)
def test_automatic_jobs_follow_memory_cores_and_cells(device, free, expected, limits, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "free_memory", lambda device: free * 2**30)
    assert machine.automatic_jobs(CELLS, RunStore(tmp_path / "runs"), device) == expected


def test_recorded_runs_of_the_same_kind_tell_the_need(limits, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "free_memory", lambda device: 13 * 2**30)
    store, known = RunStore(tmp_path / "runs"), replace(CELLS[0], seed=9)
    record = samples.record(known)
    store.save(known, record.model_copy(update={"peak_memory_bytes": 6 * 2**30}))
    assert record.execution.device == "cpu"
    assert machine.automatic_jobs(CELLS, store, "cpu") == 2
    assert (
        machine.automatic_jobs([replace(CELLS[0], training=replace(CELLS[0].training, batch_size=8))] * 5, store, "cpu")
        == 3
    )
