"""A Python interpreter that has imported the package already, for tests of programs and for the workers of pytest.

A new interpreter spends some 8 s of a core on importing PyTorch and Lightning, whatever the test is about. The program
that `warm_python` yields is called as an interpreter is, and what it runs is forked from a process that has imported
them: with the program's arguments, environment, working folder and open files, a script or module in a session of its
own. Signals are passed on, the exit status comes back; who kills the program kills what it runs.

Where the environment names a file in SLOW_WHILE, an epoch of training starts with a second's pause as long as that file
exists, so that a test that stops a run finds it running on every machine.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import multiprocessing
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
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
NUMBER = struct.Struct("<q")
HIGH = 500
"""Above the numbers that the open files of a program have."""


@contextlib.contextmanager
def warm_python(modules: Sequence[str]) -> Iterator[Path]:
    """Run programs that have imported `modules` until the context ends; yields the program that asks for them."""
    with tempfile.TemporaryDirectory(prefix="gc2l-") as folder:
        program, address = Path(folder, "python"), Path(folder, "socket")
        call = [sys.executable, "-IS", __file__, str(address)]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(call)} "$@"\n')
        program.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen()  # who asks before the modules are imported waits
            command = [sys.executable, __file__, "--serve", str(listener.fileno()), *modules]
            server = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
        yield program
        server.communicate()  # the end of its input ends it


def run(address: str, arguments: list[str]) -> int:
    """Have the process run `arguments`, pass signals on, and give the exit status."""
    files = [number for number in (int(path.name) for path in Path("/proc/self/fd").iterdir()) if _is_open(number)]
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd()), "files": files}
    content = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [NUMBER.pack(len(content))], files)
        connection.sendall(content)
        pid = _number(connection)
        for signum in PASSED_ON:
            signal.signal(signum, lambda signum, frame: os.kill(pid, signum))
        status = _number(connection)
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no other
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def serve(listener: socket.socket) -> list[str]:
    """Fork a process for every request, until the input ends; returns in each of them, with its arguments."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, which pytest handles
    gc.freeze()  # what is looked through for garbage is copied
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: the process and who asked for it
    with selectors.DefaultSelector() as selector, listener:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin.buffer, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin.buffer:
                    for pid, _ in running.values():
                        os.kill(pid, signal.SIGKILL)
                    sys.exit()
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    size, files, _, _ = socket.recv_fds(connection, NUMBER.size, HIGH)
                    request = json.loads(_receive(connection, NUMBER.unpack(size)[0]))
                    pid = os.fork()
                    if pid == 0:
                        break
                    for number in files:
                        os.close(number)
                    handle = os.pidfd_open(pid)
                    running[handle] = pid, connection
                    selector.register(handle, selectors.EVENT_READ)
                    selector.register(connection, selectors.EVENT_READ, pid)
                    connection.sendall(NUMBER.pack(pid))
                elif key.data:  # who asked was killed, perhaps together with what it had asked for
                    if key.fileobj in selector.get_map():
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
    for other in [connection, *(connection for _, connection in running.values())]:
        other.detach()  # or it would close its number, which may be another file by then
    _become(files, request)
    return request["arguments"]


def _become(files: list[int], request: dict) -> None:
    """Make this process the one that was asked for."""
    if "-c" not in request["arguments"][:2]:  # a process of multiprocessing is in the session of who starts it
        os.setsid()
    moved = [fcntl.fcntl(number, fcntl.F_DUPFD, HIGH) for number in files]
    os.closerange(3, HIGH)
    for source, number in zip(moved, request["files"], strict=True):
        os.dup2(source, number)
        os.close(source)
    sys.stdin = open(0)  # noqa: SIM115, for as long as the process runs
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
    """Run `-c code ...`, `-m module ...` or `script ...` as the interpreter does."""
    while arguments[0] in {"-B", "-u"}:
        arguments = arguments[1:]
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), vars(main))
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


def exit_status(arguments: list[str]) -> int:
    """Run a program to its end, with its threads and what it has left to do; gives its exit status."""
    status: object = 1
    try:
        call_python(arguments)
        status = None
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # closed
            stream.flush()
    return int(status or 0) & 0xFF


def _is_open(number: int) -> bool:
    """Unlike the folder of open files once it has been listed."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _number(connection: socket.socket) -> int:
    """What the server says; at its end it kills all that runs."""
    content = _receive(connection, NUMBER.size)
    return NUMBER.unpack(content)[0] if content else -signal.SIGKILL


def _receive(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size and (more := connection.recv(size - len(content))):
        content += more
    return content


if __name__ == "__main__":
    if sys.argv[1] != "--serve":
        sys.exit(run(sys.argv[1], sys.argv[2:]))
    for name in sys.argv[3:]:
        importlib.import_module(name)
    asked = serve(socket.socket(fileno=int(sys.argv[2])))
    if "GC2L_WARM_PYTHON" in os.environ:
        multiprocessing.set_executable(os.environ["GC2L_WARM_PYTHON"])
    if "SLOW_WHILE" in os.environ:
        _slow_epochs(Path(os.environ["SLOW_WHILE"]))
    os._exit(exit_status(asked))  # as the interpreter ends, but PyTorch is not taken apart, which takes a second
