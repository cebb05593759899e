"""Training one cell: the Lightning module, how it is executed, checkpoints, and the record."""

import gc2l.models.torchvision_import  # noqa: F401  Lightning imports torchvision, which needs this first
from gc2l.training.checkpoints import exclusive_checkpoints, remove_checkpoints, remove_recorded_checkpoints
from gc2l.training.classifier import DivergedError, ImageClassifier
from gc2l.training.execution import Execution
from gc2l.training.fine_tune import fine_tune, renew_statistics
from gc2l.training.loggers import report_to_sweep
from gc2l.training.memory import peak_memory_bytes, reset_peak_memory
from gc2l.training.progress import Progress
from gc2l.training.run import train

__all__ = [
    "DivergedError",
    "Execution",
    "ImageClassifier",
    "Progress",
    "exclusive_checkpoints",
    "fine_tune",
    "peak_memory_bytes",
    "remove_checkpoints",
    "remove_recorded_checkpoints",
    "renew_statistics",
    "report_to_sweep",
    "reset_peak_memory",
    "train",
]
