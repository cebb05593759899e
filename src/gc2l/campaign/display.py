"""One display for a whole grid: a table that stays in place in a terminal, plain lines in a log."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gc2l.cells import Cell
from gc2l.training import Progress

STATUS_SECONDS = 60.0
"""A log gets a line about what is running this often."""

_PROGRESS_WIDTH = 65


@dataclass
class _Running:
    label: str
    began: float
    progress: Progress | None = None
    share_at_first: float = 0.0  # of a run that continues from a checkpoint

    @property
    def share(self) -> float:
        return self.progress.share if self.progress else 0.0

    @property
    def gained(self) -> float:
        """The share of the run that was trained since it began here."""
        return self.share - self.share_at_first

    def describe(self) -> str:
        if self.progress is None:
            return f"{self.label} starting"
        return (
            f"{self.label} epoch {self.progress.epoch}/{self.progress.epochs}, "
            f"{self.progress.images_per_second:.0f} images/s"
        )

    def columns(self) -> tuple[RenderableType, ...]:
        """How far it is: `_PROGRESS_WIDTH` characters and the space before each column."""
        progress, seconds = self.progress, int(time.monotonic() - self.began)
        return (
            (f"epoch {progress.epoch}/{progress.epochs}" if progress else "starting").ljust(13),
            ProgressBar(completed=100 * self.share, width=20),
            (f"{progress.images_per_second:.0f} images/s" if progress else "").rjust(14),
            str(timedelta(seconds=seconds)),
        )


class GridDisplay:
    """Progress of a grid, on standard error.

    Args:
        total: cells to train.
        labels: what each cell is called, by its identity.
        console: where to print.
    """

    def __init__(self, total: int, labels: Mapping[str, str], console: Console | None = None) -> None:
        self.total = total
        self.labels = labels
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.live = Live(self, console=self.console, auto_refresh=False, transient=True)
        self._running: dict[str, _Running] = {}
        self._ended, self._failed, self._gained = 0, 0, 0.0
        self._began = self._last_status = time.monotonic()

    def showing(self) -> AbstractContextManager:
        """The context in which a terminal shows the table."""
        return self.live if self.console.is_terminal else nullcontext()

    def line(self, text: str) -> None:
        """Print a line, above the table."""
        # A log keeps a line in one piece, however long.
        self.console.print(escape(text), soft_wrap=not self.console.is_terminal)

    def started(self, cell: Cell) -> None:
        """A process has begun with `cell`."""
        self._running[cell.identity] = _Running(self.labels[cell.identity], time.monotonic())
        if not self.console.is_terminal:
            self.line(f"[{self._ended + len(self._running)}/{self.total}] {self.labels[cell.identity]} ...")

    def progressed(self, cell: Cell, progress: Progress) -> None:
        """The run of `cell` has reported progress."""
        running = self._running[cell.identity]
        if running.progress is None:
            running.share_at_first = min(progress.share, (progress.epoch - 1) / progress.epochs)
        running.progress = progress

    def ended(self, cell: Cell, result: str, *, failed: bool) -> None:
        """The run of `cell` is over."""
        running = self._running.pop(cell.identity)
        self._ended += 1
        self._failed += failed
        self._gained += running.gained if failed else 1 - running.share_at_first
        left = "" if self.console.is_terminal else f"; about {self.left()} left for the grid"
        self.line(f"[{self._ended}/{self.total}] {running.label}: {result}{left}")

    def refresh(self) -> None:
        """Show what has changed; in a log, from time to time."""
        if self.console.is_terminal:
            self.live.refresh()
        elif time.monotonic() - self._last_status >= STATUS_SECONDS:
            self._last_status = time.monotonic()
            self.line(f"{self.summary()}: {'; '.join(one.describe() for one in self._running.values())}")

    def left(self) -> str:
        """The time left, at the pace so far, if every cell takes as long as those so far; "?" at the very start."""
        elapsed = time.monotonic() - self._began
        gained = self._gained + sum(one.gained for one in self._running.values())
        if not gained:
            return "?"
        todo = self.total - self._ended - sum(one.share for one in self._running.values())
        return str(timedelta(seconds=round(elapsed * todo / gained)))

    def summary(self) -> str:
        """Cells done and running, and the time left, in a line."""
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._ended} of {self.total} cells done{failed}, {len(self._running)} running, {self.left()} left"

    def __rich__(self) -> Group:
        running = list(self._running.values())
        whole = _row(ProgressBar(total=self.total, completed=self._ended, width=20), self.summary())
        # What tells cells apart stands at the end of their labels: where the window is narrow they have a line each.
        widest = max((len(one.label) for one in running), default=0)
        if widest + _PROGRESS_WIDTH < self.console.width:
            return Group(whole, *(_row(Text(one.label.ljust(widest)), *one.columns()) for one in running))
        lines: list[RenderableType] = [whole]
        for one in running:
            lines += [Text(one.label, overflow="fold", no_wrap=False), _row("", *one.columns())]
        return Group(*lines)


def _row(*columns: RenderableType) -> Table:
    row = Table.grid(padding=(0, 2))
    row.add_row(*columns)
    return row
