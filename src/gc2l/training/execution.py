"""How a cell is executed: device, precision, compilation. None of it is part of the cell's identity.

Defaults depend only on the cell and the class of the device (CPU, CUDA GPU, Apple GPU), never on the model of the CPU
or GPU or on the compiler: such a choice would change the numbers of a run.
"""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from gc2l import records

COMPILE_FROM_IMAGES = 100_000
"""With compile unset, runs with fewer training images are not compiled: compilation would take more than it saves."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How to run; `resolve` replaces every "auto" and None.

    Attributes:
        device: "auto" takes an accelerator when there is one.
        precision: "auto" is bfloat16 (automatic mixed precision) on CUDA GPUs, one that has no bfloat16 is refused, and
            float32 on every CPU and on Apple GPUs ("mps").
        compile: whether the training step goes through torch.compile. By default it does in long runs on CUDA GPUs; on
            a CPU it gained GC and SC 1-4 % and made GC-2L and Shuffle slower, for a minute or more of compilation
            (results/bench/NOTES.md).
        cuda_graphs: whether a training step is replayed as one CUDA graph, which saves the time of launching its
            kernels. By default it is on CUDA GPUs, unless it is compiled; a step that cannot be captured is launched
            kernel by kernel. Not yet tried on a GPU.
        channels_last: whether images and weights are stored channels last; by default they are.
        threads: CPU threads, by default as many as torch takes, one a core unless $OMP_NUM_THREADS says otherwise.
            Sums are rounded in another order with another number, so the record names it, and a run that was stopped
            keeps the number that it began with.
        wandb: "auto" uploads to Weights & Biases when a key is configured and logs offline otherwise.
        scratch: folder of checkpoints, CSV logs and offline W&B runs.
        progress: whether to show a progress bar (only on a terminal).
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool | None = None
    cuda_graphs: bool | None = None
    channels_last: bool | None = None
    threads: int | None = None
    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    scratch: Path = Path(".scratch")
    progress: bool = True

    def resolved_device(self) -> str:
        """The device: "cpu", "cuda" or "mps".

        Raises:
            ValueError: one that this machine lacks.
        """
        present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self.device == "auto":
            return next(name for name in ("cuda", "mps", "cpu") if present[name])
        if not present[self.device]:
            have = ", ".join(name for name, here in present.items() if here)
            raise ValueError(f"execution.device={self.device!r} is not available on this machine; it has {have}")
        return self.device

    def resolve(self, training_images: int) -> records.Execution:
        """The choices in effect for a run with `training_images` images on this machine.

        Raises:
            ValueError: a device that this machine lacks, a GPU without bfloat16 for precision "auto", a run that would
                be compiled without a compiler, CUDA graphs without CUDA, or threads below 1.
        """
        device = self.resolved_device()
        precision = self.precision
        if precision == "auto":
            precision = "bfloat16" if device == "cuda" else "float32"
            if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
                raise ValueError(
                    f"execution.precision='auto' is bfloat16 on GPUs, and {torch.cuda.get_device_name()} has none; "
                    "choose --execution.precision float32, or bfloat16 to have it emulated"
                )
        compiled = self.compile
        if compiled is None:
            compiled = device == "cuda" and training_images >= COMPILE_FROM_IMAGES
        if compiled and (missing := _missing_compiler(device)) is not None:
            raise ValueError(
                f"execution.compile={self.compile} compiles this run, and {missing} is not installed; install it, or "
                "choose --execution.compile False"
            )
        graphs = self.cuda_graphs
        if graphs is None:
            graphs = device == "cuda" and not compiled
        if graphs and device != "cuda":
            raise ValueError(f"execution.cuda_graphs=True needs a CUDA GPU, and the run is on {device!r}; leave it out")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"execution.threads={self.threads} must be at least 1")
        return records.Execution(
            device=device,
            precision=precision,
            compile=compiled,
            cuda_graphs=graphs,
            channels_last=True if self.channels_last is None else self.channels_last,
            threads=self.threads or torch.get_num_threads(),
        )


def _missing_compiler(device: str) -> str | None:
    """The compiler that torch.compile would not find: the C++ one of its CPU code, the C one of Triton's launchers."""
    if device == "mps":
        return None
    variable, usual = ("CC", ["gcc", "clang"]) if device == "cuda" else ("CXX", ["g++"])
    if device == "cpu" and sys.platform == "darwin":
        usual = ["clang++"]
    wanted = shlex.split(os.environ.get(variable, ""))[:1] or usual
    return None if any(map(shutil.which, wanted)) else " or ".join(wanted)
