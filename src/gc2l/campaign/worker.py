"""A process that trains the cells that its parent sends, one after the other."""

import contextlib
import os
import sys
import traceback
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from gc2l.campaign.script import run_script

from gc2l.campaign.run import run_cell
from gc2l.cells import Cell
from gc2l.records import RunStore
from gc2l.training import Execution, Progress, train


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A cell's run has ended.

    Attributes:
        message: why it failed, None when the cell has its record.
        last: the process ends, too.
    """

    message: str | None = None
    last: bool = False


def log_path(cell: Cell, execution: Execution) -> Path:
    """What the run of `cell` prints, all its sessions one after the other."""
    return execution.scratch / "logs" / f"{cell.slug}-{cell.identity}.log"


def work(connection: Connection, folder: Path, store: RunStore, execution: Execution) -> None:
    """Train each cell that comes through `connection`, and send back `Progress` and in the end `Ended`.

    It runs in a session of its own, because Ctrl-C goes to the whole session of the terminal: only the parent receives
    it, and stops each worker once. A failure that may have harmed the process (all but wrong values and missing images)
    ends it after its message.

    Args:
        connection: to the parent; the process ends when the parent closes it.
        folder: working directory.
        store: where records are looked up and saved.
        execution: how to train.
    """
    os.setsid()
    os.chdir(folder)
    run_script(partial(_serve, connection, store, execution))


def _serve(connection: Connection, store: RunStore, execution: Execution) -> int:
    def send(message: Progress | Ended) -> None:
        with contextlib.suppress(OSError):  # the parent was killed; the cell is trained to its end all the same
            connection.send(message)

    while True:
        try:
            cell = connection.recv()
        except EOFError:
            return 0
        path = log_path(cell, execution)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
                os.dup2(log.fileno(), stream.fileno())
        try:
            run_cell(cell, store, execution, train=partial(train, on_progress=send))
        except (ValueError, FileNotFoundError) as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            send(Ended(message=str(error)))
        except Exception as error:
            traceback.print_exc()
            send(Ended(message=f"{type(error).__name__}: {error}", last=True))
            return 1
        else:
            send(Ended())
