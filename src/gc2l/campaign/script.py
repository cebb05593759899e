"""What the scripts in experiments/ share: how they end, and the arguments of a table's script."""

import logging
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from gc2l.cells import Preset, read_presets

STOPPED = 130
"""Exit status after Ctrl-C or SIGTERM: the shell's for Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class GridArguments:
    """Which cells of a table to train.

    Attributes:
        preset: the scale, a file in experiments/presets.
        seeds: trains the seeds 1 to this number.
        runs: folder of the records.
        output: folder of the tables.
    """

    preset: str = "digits"
    seeds: int = 1
    runs: Path = Path("results/runs")
    output: Path = Path("results/tables")

    def __post_init__(self) -> None:
        """Check the number of seeds."""
        if self.seeds < 1:
            raise ValueError(f"seeds={self.seeds} must be at least 1")


def find_preset(name: str, folder: Path) -> Preset:
    """The preset `name` among the files of `folder`.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    presets = read_presets(folder)
    if name not in presets:
        raise ValueError(f"preset={name!r} is unknown; choose one of {', '.join(map(repr, presets))}")
    return presets[name]


def run_script(script: Callable[[], int]) -> None:
    """Run a script's main function and exit with its status; errors a user can mend print one message, no traceback.

    SIGTERM, with which clusters and sweeps stop a run, does what Ctrl-C does.
    """
    signal.signal(signal.SIGTERM, _interrupt_once())
    # Lightning announces the absence of every accelerator at the start of every run, and asks torch 2.13 for its tree
    # leaves in the old way; neither is of use to the user of a script.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
    try:
        status = script()
    except KeyboardInterrupt:
        print("stopped; the same command continues where it was", file=sys.stderr)
        status = STOPPED
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)


def _interrupt_once() -> Callable[[int, FrameType | None], None]:
    stopping = False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        # A scheduler may send several; those that arrive during the orderly end must not break it off.
        nonlocal stopping
        if not stopping:
            stopping = True
            raise KeyboardInterrupt

    return interrupt
