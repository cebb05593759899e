"""A Python interpreter that has imported the package already, for tests of whole programs.

A new interpreter spends some 8 s of a core on importing PyTorch and Lightning, whatever the test is about. The program
`python` that `warm_python` yields is called as an interpreter is, and what it runs is forked from the process that has
imported them (see `conftest.PRELOADED`): with the program's arguments, environment, working folder and streams, in a
session of its own. Signals are passed on, the exit status comes back; who kills the program kills what it runs.

Where the environment names a file in SLOW_WHILE, an epoch of training starts with a second's pause as long as that file
exists, so that a test that stops a run finds it running on every machine.
"""

import atexit
import contextlib
import gc
import json
import multiprocessing
import os
import runpy
import selectors
import shlex
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
NUMBER = struct.Struct("<q")


@contextlib.contextmanager
def warm_python() -> Iterator[Path]:
    """Run programs until the context ends; yields the program that asks for them."""
    with tempfile.TemporaryDirectory(prefix="gc2l-") as folder:
        program, address = Path(folder, "python"), Path(folder, "socket")
        call = [sys.executable, "-IS", __file__, str(address)]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(call)} "$@"\n')
        program.chmod(0o755)
        forkserver = multiprocessing.get_context("forkserver")
        ours, other = forkserver.Pipe()
        server = forkserver.Process(target=serve, args=(str(address), other))
        server.start()
        other.close()
        assert ours.recv() == "ready"
        yield program
        ours.close()  # ends it
        server.join()


def run(address: str, arguments: list[str]) -> int:
    """Have the process run `arguments`, pass signals on, and give the exit status."""
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
    content = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [NUMBER.pack(len(content))], [0, 1, 2])
        connection.sendall(content)
        pid = _number(connection)
        for signum in PASSED_ON:
            signal.signal(signum, lambda signum, frame: os.kill(pid, signum))
        status = _number(connection)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def serve(address: str, owner: Connection) -> None:
    """Fork a process for every request, until the other end of `owner` is closed."""
    gc.freeze()  # what is looked through for garbage is copied
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: the process and who asked for it
    with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(owner, selectors.EVENT_READ)
        owner.send("ready")
        while True:
            for key, _ in selector.select():
                if key.fileobj is owner:
                    for pid, _ in running.values():
                        os.kill(pid, signal.SIGKILL)
                    return
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    size, streams, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
                    request = json.loads(_receive(connection, NUMBER.unpack(size)[0]))
                    pid = os.fork()
                    if pid == 0:
                        break
                    for stream in streams:
                        os.close(stream)
                    handle = os.pidfd_open(pid)
                    running[handle] = pid, connection
                    selector.register(handle, selectors.EVENT_READ)
                    selector.register(connection, selectors.EVENT_READ, pid)
                    connection.sendall(NUMBER.pack(pid))
                elif key.data:  # who asked was killed
                    selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)
                else:
                    pid, connection = running.pop(key.fd)
                    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with contextlib.suppress(KeyError):
                        selector.unregister(connection)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    with contextlib.suppress(OSError), connection:
                        connection.sendall(NUMBER.pack(status))
            else:
                continue
            break
    connection.close()
    owner.close()
    _become(streams, request)
    if slow_while := os.environ.get("SLOW_WHILE"):
        _slow_epochs(Path(slow_while))
    try:
        call_python(request["arguments"])
    finally:
        atexit._run_exitfuncs()  # which a process of multiprocessing does not call by itself


def _become(streams: list[int], request: dict) -> None:
    """Make this process the one that was asked for."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _slow_epochs(slow_while: Path) -> None:
    from gc2l.training import ImageClassifier  # noqa: PLC0415, this file is a program of its own, too, and a fast one

    start = ImageClassifier.on_train_epoch_start

    def pause(self: ImageClassifier) -> None:
        if slow_while.exists():
            time.sleep(1)
        start(self)

    ImageClassifier.on_train_epoch_start = pause


def call_python(arguments: list[str]) -> None:
    """Run `-m module ...` or `script ...` as the interpreter does."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


def _number(connection: socket.socket) -> int:
    return NUMBER.unpack(_receive(connection, NUMBER.size))[0]


def _receive(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size and (more := connection.recv(size - len(content))):
        content += more
    return content


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
