"""torchvision beside a PyTorch build that is not its own: the two operators without which its import stops.

torchvision's wheel for CUDA installs beside a CPU build of PyTorch, but its compiled extension cannot be loaded
there. Everything this package uses (data sets, transforms, models) is plain Python and would work, yet the import
stops because two operators, which only the extension declares, are missing. Their declarations alone are enough.
`gc2l.models` makes them when it is imported; torchvision itself is imported only by what uses it.
"""

import importlib.machinery
import importlib.util

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_missing_operators() -> None:
    """Declare what torchvision's extension would, where that does not load or torchvision has none."""
    if _extension_loads():
        return
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(f"torchvision::{operator}", _SCHEMA)


def _extension_loads() -> bool:
    package = importlib.util.find_spec("torchvision")  # finds it without importing it
    if package is None:
        return True  # nothing to declare for
    finder = importlib.machinery.PathFinder.find_spec("_C", package.submodule_search_locations)
    if finder is None or finder.origin is None:
        return False
    try:
        torch.ops.load_library(finder.origin)
    except OSError:
        return False
    return True
