"""torchvision beside a PyTorch build that is not its own: the two operators without which its import stops.

torchvision's wheel for CUDA installs beside a CPU build of PyTorch, but its compiled extension cannot be loaded
there. Everything this package uses (data sets, transforms, models) is plain Python and would work, yet the import
stops because two operators, which only the extension declares, are missing. Their declarations alone are enough.
`gc2l.models` makes them when it is imported; torchvision itself is imported only by what uses it.
"""

import contextlib
import importlib.util
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_missing_operators() -> None:
    """Declare what torchvision's extension would, where that does not load or torchvision has none."""
    package = importlib.util.find_spec("torchvision")  # finds it without importing it
    if package is None:
        return
    _load_extension(package.submodule_search_locations or [])
    for operator in ("nms", "qnms"):
        if not _is_declared(operator):
            torch.library.define(f"torchvision::{operator}", _SCHEMA)


def _load_extension(folders: list[str]) -> None:
    # Of torchvision's compiled files the one with the operators is _C up to version 0.28 and _C_stable in 0.29. All are
    # tried: were the right one missed, its import would declare the operators a second time, which ends the process.
    files = sorted(file for folder in folders for file in Path(folder).iterdir())
    for file in files:
        if file.name.endswith(tuple(EXTENSION_SUFFIXES)) and not _is_declared("nms"):
            with contextlib.suppress(OSError):
                torch.ops.load_library(str(file))


def _is_declared(operator: str) -> bool:
    return hasattr(torch.ops.torchvision, operator)
