"""The device that is timed: its precision, its clock, and whether runs are replayed as CUDA graphs."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from gc2l.bench.timing import time_run
from gc2l.training.graph import WARM_UP_STEPS, Graphs


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that is timed.

    Attributes:
        name: "cpu" or "cuda".
        precision: "float32", or "bfloat16" by automatic mixed precision.
        graphs: makes the recorder of CUDA graphs; None runs everything directly.
    """

    name: str = "cpu"
    precision: str = "float32"
    graphs: Callable[[], Graphs] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The data type of convolutions."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def autocast(self) -> AbstractContextManager:
        """The context of a forward pass."""
        return torch.autocast(self.name, torch.bfloat16, enabled=self.precision == "bfloat16")

    def seconds_of(self, run: Callable[[], object]) -> float:
        """The time of one run: on a GPU between two events of its stream, else by `gc2l.bench.timing.clock`."""
        if self.name != "cuda":
            return time_run(run)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000

    def finish(self) -> None:
        """Wait until the device has finished all its work."""
        if self.name == "cuda":
            torch.cuda.synchronize()

    def peak_bytes(self, run: Callable[[], object]) -> int | None:
        """Peak memory of `run` beyond what was allocated before; None on a CPU, where it is not counted."""
        if self.name != "cuda":
            return None
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before

    def recorded(self, run: Callable[[], tuple[torch.Tensor, ...]]) -> Callable[[], object]:
        """`run`, or its replay where graphs are recorded and this one can be."""
        if self.graphs is None:
            return run
        graphs = self.graphs()
        for _ in range(WARM_UP_STEPS):
            graphs.aside(run)
        try:
            return graphs.capture(run)
        except RuntimeError as error:
            print(f"not captured as a CUDA graph: {str(error).partition(chr(10))[0]}")
            return run


CPU = Device()
