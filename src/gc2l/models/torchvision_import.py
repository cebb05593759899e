"""The one place that imports torchvision, so that it also imports beside a PyTorch build that is not its own.

torchvision's wheel for CUDA installs beside a CPU build of PyTorch, but its compiled extension cannot be loaded
there. Everything this package uses (data sets, transforms, models) is plain Python and would work, yet the import
stops because two operators, which only the extension declares, are missing. Their declarations alone are enough.
PyTorch Lightning imports torchvision as well, so a package that uses it imports this module first, in its
`__init__`.
"""

import importlib.machinery
import importlib.util

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _extension_loads() -> bool:
    package = importlib.util.find_spec("torchvision")  # finds it without importing it
    if package is None:
        return True  # nothing to mend: the import below says what is missing
    finder = importlib.machinery.PathFinder.find_spec("_C", package.submodule_search_locations)
    if finder is None or finder.origin is None:
        return False
    try:
        torch.ops.load_library(finder.origin)
    except OSError:
        return False
    return True


if not _extension_loads():
    for _operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, _operator):
            torch.library.define(f"torchvision::{_operator}", _SCHEMA)

try:
    import torchvision
except ModuleNotFoundError as error:
    if error.name != "torchvision":
        raise
    raise ImportError("torchvision is not installed; install it with: pip install 'gc2l[models]'") from error

__all__ = ["torchvision"]
