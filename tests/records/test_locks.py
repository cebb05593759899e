import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import SoftFileLock

from gc2l.records.locks import hold, holder, try_to_hold

HOLD = """
import sys, time
from pathlib import Path
from gc2l.records.locks import hold

with hold(Path(sys.argv[1]), waiting=print):
    print("held", flush=True)
    time.sleep(600)
"""


def refuse(who: str) -> None:
    raise AssertionError(f"had to wait for {who}")


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "locks" / "cell.lock"


@pytest.fixture
def other_process(lock):
    process = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


def test_a_free_lock_is_had_at_once_and_free_again(lock):
    assert holder(lock) is None
    with hold(lock, waiting=refuse):
        assert holder(lock).startswith(f"process {os.getpid()} on ")
        with try_to_hold(lock) as held:
            assert not held
    assert holder(lock) is None
    with try_to_hold(lock) as held:
        assert held
        assert holder(lock) is not None
    with hold(lock, waiting=refuse):
        pass


def test_a_lock_ends_with_its_block_also_after_an_error(lock):
    with pytest.raises(RuntimeError), hold(lock, waiting=refuse):
        raise RuntimeError
    assert holder(lock) is None


def test_one_waits_for_another_process_and_knows_it(lock, other_process):
    told = []
    threading.Timer(0.3, other_process.kill).start()
    with hold(lock, waiting=told.append):
        assert other_process.wait() == -signal.SIGKILL
    assert len(told) == 1
    assert told[0].startswith(f"process {other_process.pid} on ")


def test_the_lock_of_a_killed_process_is_free_at_once(lock, other_process):
    assert holder(lock).startswith(f"process {other_process.pid} on ")
    other_process.kill()
    other_process.wait()
    assert holder(lock) is None
    begun = time.monotonic()
    with hold(lock, waiting=refuse):
        assert time.monotonic() - begun < 1


def test_the_folder_of_locks_is_no_part_of_a_commit(lock):
    with hold(lock, waiting=refuse):
        assert (lock.parent / ".gitignore").read_text() == "*\n"


def test_without_flock_a_marker_file_keeps_others_out_and_names_its_owner(lock, monkeypatch):
    monkeypatch.setattr("gc2l.records.locks.FileLock", SoftFileLock)
    with hold(lock, waiting=refuse):
        assert holder(lock).startswith(f"process {os.getpid()} on ")
        with try_to_hold(lock) as held:
            assert not held
    assert holder(lock) is None
