"""Where the curves go while a run is under way: CSV files always, Weights & Biases where it is installed."""

import logging
import netrc
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from gc2l.cells import Cell
from gc2l.training.execution import Execution

PROJECT = "gc2l"


def make_loggers(cell: Cell, execution: Execution) -> list[Logger]:
    """The loggers of a run, below `execution.scratch`."""
    csv = CSVLogger(execution.scratch / "csv", name=f"{cell.slug}-{cell.identity}")
    mode = wandb_mode(execution.wandb)
    if mode == "disabled":
        return [csv]
    if find_spec("wandb") is None:
        logging.getLogger(__name__).warning("wandb is not installed: this run is logged to CSV only")
        return [csv]
    folder = execution.scratch / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    wandb = WandbLogger(
        project=PROJECT,
        name=cell.slug,
        save_dir=folder,
        offline=mode == "offline",
        config={"preset": cell.preset, **cell.configuration()},
    )
    return [csv, wandb]


def close_loggers(loggers: Iterable[Logger]) -> None:
    """End the W&B run, if there is one: the next cell of this process has to start its own."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def wandb_mode(wanted: str) -> str:
    """Settle "auto": $WANDB_MODE when it is set, "online" when a key is configured, else "offline"."""
    if wanted != "auto":
        return wanted
    if mode := os.environ.get("WANDB_MODE"):
        return mode
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
