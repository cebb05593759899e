"""File locks that name their owner.

The lock is the kernel's (flock), not the existence of a file: the kernel releases it when the process dies, so no lock
goes stale and no heartbeat is needed. Linux carries flock to the server of an NFS mount, where it holds across hosts
and ends with the client's lease. A file system without flock gets filelock's marker file instead, with a warning; there
a marker left by a dead process of another host must be deleted by hand.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

POLL_SECONDS = 0.5


@contextmanager
def hold(path: Path, *, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock `path`; if another process holds it, `waiting` is called once with that owner."""
    lock = _make(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting(_owner(path))
        lock.acquire(poll_interval=POLL_SECONDS)
    try:
        _sign(lock)
        yield
    finally:
        lock.release()


@contextmanager
def try_to_hold(path: Path) -> Iterator[bool]:
    """Hold the lock `path` if it is free; yields whether it is held."""
    lock = _make(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        _sign(lock)
        yield True
    finally:
        lock.release()


def holder(path: Path) -> str | None:
    """Who holds the lock `path`, such as "process 4711 on node3"; None when it is free."""
    if not path.exists():
        return None
    lock = _make(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _owner(path)
    lock.release()
    return None


def _make(path: Path) -> FileLock:
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    return FileLock(path)


def _sign(lock: FileLock | SoftFileLock) -> None:
    # filelock's marker names its owner in these two lines.
    if not isinstance(lock, SoftFileLock):
        Path(lock.lock_file).write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")


def _owner(path: Path) -> str:
    try:
        process, host = path.read_text(encoding="utf-8").splitlines()[:2]
    except (FileNotFoundError, ValueError):  # just released, or not yet signed
        return "another process"
    return f"process {process} on {host}"
