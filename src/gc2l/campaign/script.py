"""Shared by the scripts in experiments/: exit status and signals, and the choice of a preset."""

import logging
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from gc2l.cells import Preset, read_presets
from gc2l.names import unknown

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Signals of schedulers before they take the machine, and of a terminal that closes; Ctrl-C is SIGINT."""


def find_preset(name: str, folder: Path) -> Preset:
    """The preset `name` among the files of `folder`.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    presets = read_presets(folder)
    if name not in presets:
        raise unknown("preset", name, presets)
    return presets[name]


def run_script(script: Callable[[], int]) -> None:
    """Run a script's main function and exit with its status; errors that a user can fix print a message, no traceback.

    A script that a signal stops, Ctrl-C or one of `STOP_SIGNALS`, shuts down cleanly, with the exit status that shells
    and schedulers expect: 128 and the signal's number, 130 for Ctrl-C, 143 for SIGTERM, 138 for SIGUSR1 (on Linux), 129
    for SIGHUP.
    """
    stop = _StopOnce()
    for signum in STOP_SIGNALS:
        # nohup ignores SIGHUP; keep it ignored.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, stop)
    # Lightning announces the absence of every accelerator at the start of every run, asks torch 2.13 for its
    # tree leaves in the old way, and advises srun wherever SLURM is installed; none of it helps the user of a script.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
    warnings.filterwarnings("ignore", "The .srun. command")
    try:
        status = script()
    except KeyboardInterrupt:
        print("stopped; the same command continues where it was", file=sys.stderr)
        status = 128 + (stop.signum or signal.SIGINT)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except (OSError, MemoryError) as error:  # such as a full disk, a folder that may not be written
        print(f"error: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)


class _StopOnce:
    """A signal handler that does what Ctrl-C does, and remembers the signal.

    A scheduler may send several; later ones must not interrupt the shutdown.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
            raise KeyboardInterrupt
