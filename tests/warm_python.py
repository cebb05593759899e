"""A Python interpreter that has imported the package already, for tests of whole programs.

A new interpreter spends some 8 s of a core on importing PyTorch and Lightning, whatever the test is about.
`warm_python` starts one process that has imported them. The program `python` that it yields is called as an interpreter
is, and what it runs is forked from that process: with the program's arguments, environment, working folder and streams,
in a session of its own. Signals are passed on, the exit status comes back; who kills the program kills what it runs.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PRELOADED = ("gc2l.campaign.run", "gc2l.campaign.arguments", "torch.distributed.launcher.api", "wandb")
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
NUMBER = struct.Struct("<q")


@contextlib.contextmanager
def warm_python() -> Iterator[Path]:
    """Run the process until the context ends; yields the program."""
    with tempfile.TemporaryDirectory(prefix="gc2l-") as folder:
        program, address = Path(folder, "python"), Path(folder, "socket")
        call = [sys.executable, "-IS", __file__, "run", str(address)]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(call)} "$@"\n')
        program.chmod(0o755)
        command = [sys.executable, __file__, "serve", str(address)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
            assert server.stdout.readline() == b"ready\n"
            yield program
            server.stdin.close()  # ends it


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


def serve(address: str) -> list[str]:
    """Fork a process for every request until standard input ends; returns in such a process, with its arguments."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # what is collected would be copied
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: the process and who asked for it
    with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    for pid, _ in running.values():
                        os.kill(pid, signal.SIGKILL)
                    os._exit(0)
                elif key.fileobj is listener:
                    connection, _ = listener.accept()
                    size, streams, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
                    request = json.loads(_receive(connection, NUMBER.unpack(size)[0]))
                    pid = os.fork()
                    if pid == 0:
                        connection.close()
                        _become(streams, request)
                        return request["arguments"]
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
    if sys.argv[1] == "run":
        sys.exit(run(sys.argv[2], sys.argv[3:]))
    call_python(serve(sys.argv[2]))
