"""Checkpoints that are never half-written, and the choice of the one to resume from."""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from gc2l.parallel import read_progress


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place and rename it, so that a killed process leaves the old one or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save `checkpoint` at `path`."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".partial-{os.getpid()}")
        with partial.open("wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)


class EpochCheckpoint(Checkpoint):
    """Save a checkpoint after each epoch, named by it, and keep the newest two: files, or folders of several ranks."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save; Lightning calls checkpoint callbacks after the module has completed the epoch's results."""
        trainer.save_checkpoint(self.folder / f"{trainer.current_epoch + 1:04d}.ckpt")
        if trainer.is_global_zero:
            for old in sorted(self.folder.glob("*.ckpt"))[:-2]:
                shutil.rmtree(old) if old.is_dir() else old.unlink()


def newest_readable(folder: Path) -> Path | None:
    """The newest checkpoint in `folder` that can be read.

    One that cannot be read (a disk that was full, a copy that broke off) is renamed to `*.unreadable` with a warning
    that names it, and the one before is taken.
    """
    for path in sorted(folder.glob("*.ckpt"), reverse=True):
        try:
            read_progress(path) if path.is_dir() else torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            aside = path.with_suffix(".unreadable")
            path.replace(aside)
            warnings.warn(
                f"the checkpoint {path} cannot be read ({type(error).__name__}: {error}); kept as {aside}, "
                "continuing from the one before",
                stacklevel=2,
            )
        else:
            return path
    return None
