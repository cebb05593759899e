"""Checkpoints that are never half-written or silently damaged, and the choice of the one to resume from."""

import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from gc2l.cells import Cell
from gc2l.files import check_file, checksum_path, new_checked_file
from gc2l.parallel import check_sharded, read_progress
from gc2l.records.locks import hold
from gc2l.training.execution import Execution

_CELL = "cell"  # whose checkpoint it is
_MADE = "made"  # the fields of `Made`


@dataclass(frozen=True, kw_only=True)
class Made:
    """How a run is made; all its sessions share the first five.

    Attributes:
        device, precision, threads: as in the record of the run; its numbers depend on them.
        images: fingerprint of the data set.
        data_ranks: the parts into which each batch is divided, each of which has its own batch statistics.
        commit: of the code of the newest session.
        dirty: whether the code of any session differed from that commit, or the commit is unknown.
    """

    device: str
    precision: str
    threads: int
    images: str
    data_ranks: int
    commit: str
    dirty: bool


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place and rename it, so that a killed process leaves the old one or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save `checkpoint` at `path`, its SHA-256 beside it."""
        with new_checked_file(Path(path)) as stream:
            torch.save(checkpoint, stream)  # type: ignore[arg-type]


class EpochCheckpoint(Checkpoint):
    """Save a checkpoint after each epoch, named by it, and keep the newest two: files, or folders of several ranks.

    Args:
        folder: of the checkpoints of one run.
        identity: of the cell, kept in each checkpoint.
        made: how the run is made, kept in each checkpoint.
    """

    def __init__(self, folder: Path, identity: str, made: Made) -> None:
        super().__init__()
        self.folder, self.identity, self.made = folder, identity, made

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict) -> None:
        """Say whose it is, and how it was made."""
        checkpoint[_CELL] = self.identity
        checkpoint[_MADE] = asdict(self.made)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save; Lightning calls checkpoint callbacks after the module has completed the epoch's results."""
        trainer.save_checkpoint(self.folder / f"{trainer.current_epoch + 1:04d}.ckpt")
        if trainer.is_global_zero:
            for old in _by_epoch(self.folder)[:-2]:
                _remove(old)
                checksum_path(old).unlink(missing_ok=True)


def checkpoint_folder(cell: Cell, execution: Execution, *, sharded: bool) -> Path:
    """Where the checkpoints of `cell` are kept: in the scratch folder, by identity; those of several ranks apart."""
    return execution.scratch / "checkpoints" / (f"{cell.identity}-sharded" if sharded else cell.identity)


def exclusive_checkpoints(
    cell: Cell, execution: Execution, *, waiting: Callable[[str], None]
) -> AbstractContextManager[None]:
    """Lock the checkpoints of `cell`, from before they are read until they are removed.

    The lock of a `RunStore` is not enough: processes with other folders of records may have the same scratch folder.
    Whoever holds both takes that of the store first, so that no two wait for each other.

    Args:
        cell: what is to be trained.
        execution: names the scratch folder.
        waiting: called with the process that trains the cell there, when there is one to wait for.
    """
    # Not ".lock": the records may lie in the scratch folder, too.
    return hold(execution.scratch / ".locks" / f"{cell.identity}.checkpoints", waiting=waiting)


def remove_checkpoints(cell: Cell, execution: Execution) -> None:
    """Remove all checkpoints of `cell`, which has its record."""
    for sharded in (False, True):
        shutil.rmtree(checkpoint_folder(cell, execution, sharded=sharded), ignore_errors=True)


def remove_recorded_checkpoints(cell: Cell, execution: Execution, curve: Sequence[dict[str, Any]]) -> None:
    """Remove the checkpoints of the run of `cell` that is recorded, with this curve, if they are still there.

    That run was killed between its record and their removal. Those of a later run, which was stopped on its way, stay:
    no two runs take the same time for an epoch.
    """
    for sharded in (False, True):
        folder = checkpoint_folder(cell, execution, sharded=sharded)
        newest = newest_readable(folder, cell.identity)
        if newest is not None:
            points = _content(newest)["curve"]
            if points == list(curve[: len(points)]):
                shutil.rmtree(folder)


def continued(path: Path, now: Made) -> Made:
    """How the run of the checkpoint `path` goes on in the session `now`.

    It keeps the threads that it began with, whatever this session was told: they decide how sums are rounded, so the
    run ends as if it had not been stopped. Code of two commits is marked as code that differs from its commit.

    Raises:
        ValueError: the checkpoint was made on another kind of device, in another precision, on other images or with
            batches divided into another number of parts; the record of the run names one of each.
    """
    content = _content(path).get(_MADE)
    if content is None:  # of an older version
        return now
    begun = Made(**{"data_ranks": now.data_ranks, "images": now.images} | content)  # older versions do not name them
    if (begun.device, begun.precision) != (now.device, now.precision):
        raise ValueError(
            f"the checkpoint {path} was made on {begun.device} in {begun.precision}, this run is on {now.device} in "
            f"{now.precision}: continue with --execution.device {begun.device} --execution.precision "
            f"{begun.precision}, or remove {path.parent} to start anew"
        )
    if begun.images != now.images:
        raise ValueError(
            f"the checkpoint {path} was made on images with the fingerprint {begun.images}, those here have "
            f"{now.images}: continue with the images that the run began with, or remove {path.parent} to start anew"
        )
    if begun.data_ranks != now.data_ranks:
        raise ValueError(
            f"the checkpoint {path} was made with batches in {begun.data_ranks} parts, this run has "
            f"{now.data_ranks}: continue with {begun.data_ranks} times as many processes as --parallel.channels, or "
            f"remove {path.parent} to start anew"
        )
    if begun.threads != now.threads:
        warnings.warn(
            f"{path.parent}: the run continues with the threads that it began with, {begun.threads} in place of "
            f"{now.threads}, because its numbers depend on them; remove the folder to start anew",
            stacklevel=2,
        )
    return replace(now, threads=begun.threads, dirty=now.dirty or begun.dirty or begun.commit != now.commit)


def newest_readable(folder: Path, identity: str) -> Path | None:
    """The newest checkpoint in `folder` that is what was written there, of the cell `identity`.

    One that is not, or cannot be read (a flipped bit, a disk that was full, a file of another run), is renamed to
    `*.unreadable` with a warning that names it, and the one before is taken.
    """
    for path in reversed(_by_epoch(folder)):
        try:
            _check(path, identity)
        except Exception as error:
            aside = path.with_suffix(".unreadable")
            _remove(aside)
            path.replace(aside)
            warnings.warn(
                f"the checkpoint {path} cannot be used ({type(error).__name__}: {error}); kept as {aside}, "
                "continuing from the one before, or from the start",
                stacklevel=2,
            )
        else:
            return path
    return None


def _by_epoch(folder: Path) -> list[Path]:
    """The checkpoints, oldest first. By number: as text, 10000 comes before 9999."""
    return sorted(folder.glob("*.ckpt"), key=lambda path: (int(path.stem) if path.stem.isdecimal() else -1, path.name))


def _check(path: Path, identity: str) -> None:
    if path.is_dir():
        check_sharded(path)
    else:
        check_file(path)
    cell = _content(path).get(_CELL)
    if cell != identity:
        raise ValueError(f"it is of the cell {cell}, not {identity}")


def _content(path: Path) -> dict[str, Any]:
    return read_progress(path) if path.is_dir() else torch.load(path, map_location="cpu", weights_only=True)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
