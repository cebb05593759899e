"""Measure speed: layers, network steps, training loops, the machine's limits. JSON, a figure, and tables with targets.

    python experiments/bench.py --quick
    python experiments/bench.py --parts layers steps --images 16 --turns 7

Every figure is a ratio of two running times measured alternately in this process: the median over the rounds, with
quartiles. With --threads 1 it measures processor time, which other load disturbs least. The file is written after
every part. A second run on the same day adds to it, in place of what it measures again; at another commit, on another
machine or with other threads it needs a --name of its own.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from gc2l.campaign.script import run_script

import torch
import tyro

from gc2l.analysis.figures.style import to_bytes
from gc2l.bench.layers import FRAMEWORK, measure_layer, network_layers
from gc2l.bench.loops import measure_loops
from gc2l.bench.machine import peak_bandwidth, peak_flops
from gc2l.bench.report import layer_table, loop_table, step_table, targets
from gc2l.bench.results import Results
from gc2l.bench.roofline import draw_roofline
from gc2l.bench.steps import PLAIN, measure_steps
from gc2l.cells import DataConfig
from gc2l.files import write_atomically
from gc2l.nn import TwoLevelGroupConv2d
from gc2l.ops.cpu import compiled
from gc2l.training.allocator import keep_freed_memory, release_freed_memory

Part = Literal["layers", "steps", "loops"]
SIZES = {"wide_resnet_28_10": 32, "wide_resnet_10_4": 32, "mobilenet_v2": 224}
# Enough work for a step of the narrow network, not too much for one of the wide ones.
IMAGES = {"wide_resnet_28_10": 16, "wide_resnet_10_4": 128, "mobilenet_v2": 16}
LAYERS_OF = ("wide_resnet_28_10", "mobilenet_v2")


def main(
    quick: bool = False,
    parts: tuple[Part, ...] = ("layers", "steps", "loops"),
    networks: tuple[str, ...] | None = None,
    groups: tuple[int, ...] = (1, 2, 4, 8, 16),
    candidates: tuple[str, ...] = ("GC-2L", PLAIN, FRAMEWORK, "SC", "Shuffle"),
    images: int | None = None,
    turns: int = 5,
    threads: int | None = None,
    compile: bool = False,
    output: Path = Path("results/bench"),
    name: str | None = None,
) -> int:
    """Measure and print.

    Args:
        quick: a few layers, WRN-10-4 only, few rounds: under three minutes.
        parts: what to measure.
        networks: whose layers and steps; by default the steps of all three, the layers of the paper's two.
        groups: numbers of groups.
        candidates: the variants that the steps compare with GC.
        images: batch size of layers and steps; by default 16, and 128 for WRN-10-4.
        turns: number of rounds.
        threads: CPU threads; torch decides by default.
        compile: measure the steps through torch.compile too.
        output: folder of the JSON file and of the figure.
        name: of both files; by default the date, with "quick" for --quick.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if quick:
        networks, groups, images, turns = ("wide_resnet_10_4",), (4, 16), 8, 3
    torch.manual_seed(0)
    started = datetime.now(UTC)
    stem = output / (name or f"{started:%Y-%m-%d}" + ("-quick" if quick else ""))
    kept = keep_freed_memory()
    results = Results(stem, threads=torch.get_num_threads(), freed_memory_kept=kept, kernels=compiled.available())
    if not results.limits:
        results.limits = {"flops": peak_flops(3), "bytes_per_second": peak_bandwidth(3)}
    limits = results.limits
    print(
        f"{torch.get_num_threads()} threads; matrix products {limits['flops'] / 1e9:.0f} GFLOP/s, "
        f"copies {limits['bytes_per_second'] / 1e9:.1f} GB/s; "
        f"GC-2L with{'' if compiled.available() else 'out'} its compiled kernels\n"
    )
    measured = results.tables
    if "layers" in parts:
        for network in networks or LAYERS_OF:
            results.add("layers", _layers(network, groups, images or IMAGES[network], turns))
        figure = draw_roofline(measured["layers"], limits["flops"], limits["bytes_per_second"])
        write_atomically(stem.with_name(f"{stem.name}-roofline.svg"), to_bytes(figure, "svg"))
    if "steps" in parts:
        for network in networks or tuple(SIZES):
            count = images or IMAGES[network]
            results.add("steps", _steps(network, groups, candidates, count, turns, limits["flops"], compile))
    if "loops" in parts:
        try:
            results.add("loops", _loops(turns, compile))
        except FileNotFoundError as error:
            print(f"(c) loops: not measured, {error}")
    print(targets(**measured))
    print(f"written: {results.path}")
    return 0


def _layers(network: str, groups: tuple[int, ...], images: int, turns: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for shape in network_layers(network, SIZES[network]):
        for n in groups:
            if shape.c_in % n or shape.c_out % n:
                continue
            for channels_last in (True, False):
                measured = measure_layer(
                    shape, n, images=images, channels_last=channels_last, rounds=turns,
                    algorithms=[way for way in TwoLevelGroupConv2d.ALGORITHMS[1:] if way != "triton"],  # for cards
                )  # fmt: skip
                rows += [{"network": network, **row} for row in measured]
    for channels_last, label in ((True, "channels last"), (False, "channels first")):
        chosen = [row for row in rows if row["channels_last"] == channels_last]
        print(layer_table(chosen, f"(a) layers of {network}, {label}, {images} images"))
    return rows


def _steps(
    network: str,
    groups: tuple[int, ...],
    candidates: tuple[str, ...],
    images: int,
    turns: int,
    peak: float,
    compile: bool,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for n in (n for n in groups if n > 1 and not (network == "mobilenet_v2" and n == 16)):
        for channels_last, compiled_step in [(True, False), (False, False), *([(True, True)] if compile else [])]:
            release_freed_memory()  # blocks of other sizes than the next networks need would add up
            rows += measure_steps(
                network, n, size=SIZES[network], images=images, rounds=turns, channels_last=channels_last,
                compile=compiled_step, candidates=candidates,
            )  # fmt: skip
    print(step_table(rows, f"(b, e) {network}, {images} images"))
    for row in rows:
        if row["flops"] and row["channels_last"] and row["groups"] == 4:
            share = 100 * row["flops"] / row["seconds"] / peak
            print(f"(d) SC step: {row['flops'] / row['seconds'] / 1e9:.0f} GFLOP/s, {share:.0f} % of the peak\n")
    return rows


def _loops(turns: int, compile: bool) -> list[dict[str, Any]]:
    rows = measure_loops(
        network="wide_resnet_10_4", label="GC-2L", groups=4, root=DataConfig().root, batches=4, batch_size=128,
        rounds=turns, compile=compile,
    )  # fmt: skip
    print(loop_table(rows, "(c) loops, CIFAR-10, GC-2L, n = 4"))
    return rows


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main, description=__doc__))
