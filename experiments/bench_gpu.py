"""Measure speed on a CUDA GPU: its limits, layers, loops and network steps. JSON, and tables with targets.

    python experiments/bench_gpu.py --quick

Every figure is a ratio of two running times measured alternately in this process by the GPU's own events: the median
over the rounds, with quartiles. It takes less than six minutes, --quick less than two; a line names what is left out
for lack of time. The file is written after every part; a second run on the same day continues it as bench.py does.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from gc2l.campaign.script import run_script

import torch
import tyro

from gc2l.bench.device import Device
from gc2l.bench.gpu import FULL, QUICK, GpuBenchmark, Plan
from gc2l.bench.report import gpu_targets, layer_table, loop_table, step_table
from gc2l.bench.results import Results
from gc2l.cells import DataConfig
from gc2l.training import Execution
from gc2l.training.graph import CudaGraphs

Part = Literal["layers", "loops", "steps"]


def main(
    quick: bool = False,
    parts: tuple[Part, ...] = ("layers", "loops", "steps"),
    output: Path = Path("results/bench"),
    name: str | None = None,
) -> int:
    """Measure and print.

    Args:
        quick: fewer layers, group counts and rounds, nothing compiled: under two minutes.
        parts: what to measure.
        output: folder of the JSON file.
        name: of the file; by default the day and "cuda", and "quick" if it was.
    """
    how = Execution(device="cuda").resolve(training_images=0)
    device = Device(name=how.device, precision=how.precision, graphs=CudaGraphs)
    stem = output / (name or f"{datetime.now(UTC):%Y-%m-%d}-cuda" + ("-quick" if quick else ""))
    torch.backends.cudnn.benchmark = True  # as training has it
    return measure(QUICK if quick else FULL, device, parts, stem, torch.cuda.get_device_name())


def measure(plan: Plan, device: Device, parts: tuple[Part, ...], stem: Path, accelerator: str) -> int:
    """Carry out the plan."""
    torch.manual_seed(0)
    benchmark = GpuBenchmark(plan, device, DataConfig().root, print)
    results = Results(stem, accelerator=accelerator, device=device.name, precision=device.precision)
    if not results.limits:
        results.limits = benchmark.limits()
    limits = results.limits
    print(
        f"{accelerator}, {device.precision}: matrix products {limits['flops'] / 1e12:.4g} TFLOP/s, "
        f"copies {limits['bytes_per_second'] / 1e9:.4g} GB/s\n"
    )
    if "layers" in parts:
        results.add("layers", benchmark.layers())
        for channels_last, label in ((True, "channels last"), (False, "channels first")):
            if rows := [row for row in results.tables["layers"] if row["channels_last"] == channels_last]:
                print(layer_table(rows, f"(a) layers of {plan.network}, {label}, {plan.images} images"))
    if "loops" in parts:
        try:
            results.add("loops", benchmark.loops())
            for variant in dict.fromkeys(row["variant"] for row in results.tables["loops"]):
                rows = [row for row in results.tables["loops"] if row["variant"] == variant]
                print(loop_table(rows, f"(c) loops, CIFAR-10, {variant}, n = {rows[0]['groups']}"))
        except FileNotFoundError as error:
            print(f"(c) loops: not measured, {error}")
    if "steps" in parts:
        results.add("steps", benchmark.steps())
        results.add("steps", benchmark.compiled_steps())
        print(step_table(results.tables["steps"], f"(b, e) steps, {plan.images} images"))
    print(gpu_targets(results.tables["layers"], results.tables["steps"], limits))
    print(f"written: {results.path}")
    return 0


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main, description=__doc__))
