"""Progress reports of a run while it trains."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

INTERVAL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch: the epoch under way, from 1.
        epochs: how many there are.
        share: of all training steps that are done, those of earlier sessions included; 0 to 1.
        images_per_second: training images since the last report, tests between them included.
    """

    epoch: int
    epochs: int
    share: float
    images_per_second: float


class ReportProgress(pl.Callback):
    """Reports how far the run is, at most every `INTERVAL_SECONDS`.

    Args:
        on_progress: called with each report.
        batch_size: images of a step.
    """

    def __init__(self, on_progress: Callable[[Progress], None], *, batch_size: int) -> None:
        self._on_progress = on_progress
        self._batch_size = batch_size
        self._last = (0.0, 0)  # clock and steps at the last report

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start the clock."""
        self._last = (time.monotonic(), trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Report, unless that was a moment ago."""
        now, steps = time.monotonic(), trainer.global_step
        elapsed = now - self._last[0]
        if elapsed < INTERVAL_SECONDS:
            return
        self._on_progress(
            Progress(
                epoch=trainer.current_epoch + 1,
                epochs=trainer.max_epochs or 0,
                share=steps / trainer.estimated_stepping_batches,
                images_per_second=(steps - self._last[1]) * self._batch_size / elapsed,
            )
        )
        self._last = (now, steps)
