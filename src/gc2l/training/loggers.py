"""Loggers of a run: CSV files always, Weights & Biases where it is installed."""

import logging
import math
import netrc
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from gc2l.cells import Cell
from gc2l.data import dataset_info
from gc2l.training.execution import Execution

PROJECT = "gc2l"
OFFLINE = ("offline", "dryrun")  # the second is W&B's older name
Status = Literal["finished", "diverged", "stopped", "failed"]


def make_loggers(cell: Cell, execution: Execution) -> list[Logger]:
    """The loggers of a run, below `execution.scratch`."""
    csv = CSVLogger(execution.scratch / "csv", name=f"{cell.slug}-{cell.identity}")
    wandb = _make_wandb_logger(cell, execution)
    return [csv] if wandb is None else [csv, wandb]


def close_loggers(loggers: Iterable[Logger], status: Status) -> None:
    """End the W&B run, if there is one: the next cell of this process has to start its own.

    A stopped run of a sweep is put back into the sweep's queue by the server, a failed one shows as failed.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.summary["status"] = status
            if status == "stopped":
                logger.experiment.mark_preempting()
            offline, folder = logger.experiment.settings.mode in OFFLINE, Path(logger.experiment.dir).parent
            logger.experiment.finish(exit_code=0 if status in ("finished", "diverged") else 1)
            if offline:
                print(f"W&B: logged offline; to upload: wandb sync {folder}", file=sys.stderr)


def report_to_sweep(
    cell: Cell, execution: Execution, *, curve: Sequence[Mapping[str, float]], status: Literal["finished", "diverged"]
) -> None:
    """Report the record of `cell` to the W&B sweep that requested it, so that the table of the sweep is complete.

    Nothing happens outside the agent of a sweep: the run that made the record has already reported.

    Args:
        cell: a cell that is not trained again.
        execution: says where and whether W&B logs.
        curve: the fields of each recorded epoch.
        status: of the recorded run.
    """
    if "WANDB_SWEEP_ID" not in os.environ:
        return
    logger = _make_wandb_logger(cell, execution)
    if logger is None:
        return
    steps = math.ceil(dataset_info(cell.data.name).train_rows / cell.training.batch_size)
    for point in curve:
        # Where Lightning puts the end of an epoch: it counts epochs and steps from 0.
        logger.log_metrics({**point, "epoch": point["epoch"] - 1}, step=int(point["epoch"]) * steps - 1)
    close_loggers([logger], status)


def _make_wandb_logger(cell: Cell, execution: Execution) -> WandbLogger | None:
    mode = wandb_mode(execution.wandb)
    if mode == "disabled":
        return None
    if find_spec("wandb") is None:
        logging.getLogger(__name__).warning("wandb is not installed: this run is logged to CSV only")
        return None
    folder = execution.scratch / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    logger = WandbLogger(
        project=PROJECT,
        name=cell.slug,
        save_dir=folder,
        # Lightning's offline=True would leave $WANDB_MODE changed, and with it every later run of the process offline.
        mode=mode,
        # Offline, W&B prints twenty lines to say where its files are.
        settings={"silent": mode == "offline"},
        config={"preset": cell.preset, **cell.configuration()},
    )
    from wandb.errors import UsageError  # noqa: PLC0415  it may not be installed

    try:
        _ = logger.experiment  # starts the W&B run, which would else fail within training
    except UsageError as error:
        raise ValueError(f"W&B cannot log {mode}: {error} Or train with --execution.wandb offline") from error
    return logger


def wandb_mode(wanted: str) -> str:
    """Settle "auto": $WANDB_MODE when it is set, "online" when a key is configured, else "offline"."""
    if wanted != "auto":
        return wanted
    if mode := os.environ.get("WANDB_MODE"):
        return "offline" if mode in OFFLINE else mode
    return "online" if _has_key() else "offline"


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        entry = netrc.netrc(os.environ.get("NETRC", Path("~/.netrc").expanduser())).authenticators(host or "")
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
    return entry is not None
