"""`make bench DEVICE=cuda`: limits, layers, steps and loops of a GPU, each part within a time limit of its own.

A part that reaches its limit leaves out the rest and reports it. Layers, and one of the two kinds of steps, are
replayed as CUDA graphs, so that what is timed is the device and not Python, which takes 0.3 ms to launch a layer.

Not yet run on a GPU; the tests run it on a CPU, with plain runs in place of graphs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gc2l.bench.device import Device
from gc2l.bench.layers import FRAMEWORK, LayerShape, measure_layer
from gc2l.bench.loops import measure_loops
from gc2l.bench.machine import peak_bandwidth, peak_flops
from gc2l.bench.steps import measure_steps
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure, and for how long.

    Attributes:
        network: of the paper, whose steps are timed.
        size: side of its images.
        shapes: of the layers.
        groups: n of layers and steps; FLGC is measured with the largest.
        images: batch size.
        rounds: number of rounds over the candidates.
        side, mebibytes: of the matrices and of the copies that give the limits.
        both_formats: whether layers are measured channels first as well.
        compiled: whether steps are also measured through torch.compile, if they can begin in time.
        loop_batches: batches in one pass of the training loops over CIFAR-10.
        limits_seconds: for each of the two limits.
        layers_seconds, steps_seconds, loops_seconds: limits after which no further measurement begins.
        compile_before: latest start of compilation, in seconds after the start; it takes a minute or two.
    """

    network: str = "wide_resnet_28_10"
    size: int = 32
    shapes: Sequence[LayerShape]
    groups: tuple[int, ...] = (2, 4, 8, 16)
    images: int = 128
    rounds: int = 7
    side: int = 8192
    mebibytes: int = 2048
    both_formats: bool = True
    compiled: bool = True
    loop_batches: int = 32
    limits_seconds: float = 4
    layers_seconds: float = 90
    steps_seconds: float = 60
    loops_seconds: float = 40
    compile_before: float = 210


# The three widths of WideResNet-28-10, at which 21 of its 27 layers are.
_SHAPES = [
    LayerShape(c_in=width, c_out=width, kernel=3, stride=1, size=size, count=7)
    for width, size in ((160, 32), (320, 16), (640, 8))
]
FULL = Plan(shapes=_SHAPES)
QUICK = Plan(
    shapes=_SHAPES[::2],
    groups=(4, 16),
    rounds=5,
    both_formats=False,
    compiled=False,
    loop_batches=16,
    limits_seconds=2,
    layers_seconds=25,
    steps_seconds=30,
    loops_seconds=20,
)


class GpuBenchmark:
    """The measurements of a plan.

    Args:
        plan: what to measure.
        device: the GPU; graphs that it records are replayed.
        root: folder of the data sets.
        log: called with a line for what is left out.
    """

    def __init__(self, plan: Plan, device: Device, root: Path, log: Callable[[str], None]) -> None:
        self.plan, self.device, self.root, self.log = plan, device, root, log
        self.eager = replace(device, graphs=None)
        self._began = time.monotonic()

    def limits(self) -> dict[str, float]:
        """Operations per second of matrix products, and bytes per second of copies."""
        plan = self.plan
        return {
            "flops": peak_flops(plan.limits_seconds, side=plan.side, device=self.eager),
            "bytes_per_second": peak_bandwidth(plan.limits_seconds, mebibytes=plan.mebibytes, device=self.eager),
        }

    def layers(self) -> list[Row]:
        """Every algorithm at every shape; channels last first."""
        plan, rows = self.plan, []
        pieces = [
            (channels_last, shape, n)
            for channels_last in ([True, False] if plan.both_formats else [True])
            for shape in plan.shapes
            for n in plan.groups
        ]
        for channels_last, shape, n in self._until_deadline("layers", pieces, plan.layers_seconds):
            rows += measure_layer(
                shape,
                n,
                images=plan.images,
                channels_last=channels_last,
                rounds=plan.rounds,
                algorithms=TwoLevelGroupConv2d.ALGORITHMS[1:],
                group_algorithms=[way for way in GroupConv2d.ALGORITHMS[1:] if way != "matmul"],  # of 1 x 1 layers
                learnable=n == max(plan.groups),
                device=self.device,
            )
        return [{"network": plan.network, **row} for row in rows]

    def steps(self) -> list[Row]:
        """Training steps launched kernel by kernel, and as graphs."""
        pieces = [(n, device) for n in self.plan.groups for device in (self.eager, self.device)]
        rows: list[Row] = []
        for n, device in self._until_deadline("steps", pieces, self.plan.steps_seconds):
            learnable = ["FLGC"] if n == max(self.plan.groups) else []
            rows += self._steps(n, ["GC-2L", FRAMEWORK, "SC", "Shuffle", *learnable], device, compile=False)
        return rows

    def compiled_steps(self) -> list[Row]:
        """Steps through torch.compile, for the largest number of groups; last, as compilation may take minutes."""
        if not self.plan.compiled:
            return []
        if time.monotonic() - self._began > self.plan.compile_before:
            self.log("compiled steps: left out, the time limit is reached")
            return []
        return self._steps(max(self.plan.groups), ["GC-2L", "SC"], self.eager, compile=True)

    def loops(self) -> list[Row]:
        """The training loop of gc2l and others, for WideResNet-10-4.

        Raises:
            FileNotFoundError: CIFAR-10 is not there.
        """
        rows: list[Row] = []
        for label, n in self._until_deadline("loops", [("GC-2L", 4), ("SC", 1)], self.plan.loops_seconds):
            rows += measure_loops(
                network="wide_resnet_10_4",
                label=label,
                groups=n,
                root=self.root,
                batches=self.plan.loop_batches,
                batch_size=self.plan.images,
                rounds=3,
                compile=False,
                device=self.device,
            )
        return rows

    def _steps(self, groups: int, candidates: list[str], device: Device, *, compile: bool) -> list[Row]:
        return measure_steps(
            self.plan.network,
            groups,
            size=self.plan.size,
            images=self.plan.images,
            rounds=self.plan.rounds,
            channels_last=True,
            compile=compile,
            candidates=candidates,
            device=device,
        )

    def _until_deadline(self, part: str, pieces: Sequence[Any], seconds: float) -> Iterator[Any]:
        until = time.monotonic() + seconds
        for number, piece in enumerate(pieces):
            if time.monotonic() > until:
                self.log(f"{part}: {len(pieces) - number} of {len(pieces)} left out after {seconds:.0f} s")
                return
            yield piece
