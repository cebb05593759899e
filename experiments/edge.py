"""Inference of one image on the CPU, side by side: ours, GSPC as published, and the libraries of today.

    python experiments/edge.py --quick

Layers and networks, one and two threads, float32. Every output is compared with float64. Times of one thread are
processor time. The libraries are optional, absent ones are named:

    pip install apache-tvm onnxruntime openvino ai-edge-litert flatbuffers ncnn MNN executorch

The record is results/inference.json, with results/tables/inference.md and figures/inference_vs_groups.svg; those of
--quick are called inference-quick. A run that is stopped goes on where it was, with the same flags, commit, machine and
libraries. Until its last case its record is results/inference-unfinished.json; only then does it replace an older one,
and a run that would lose cases or libraries of that one is refused.
"""

import sys
import time
from itertools import product
from pathlib import Path

from gc2l.campaign.script import run_script

import torch
import tyro

from gc2l.analysis.inference import inference_tables
from gc2l.bench.inference import (
    LIBRARIES,
    begun,
    check_replaces,
    finish,
    installed,
    layer_cases,
    measure,
    network_case,
    unfinished,
)
from gc2l.evidence.publish import publish_inference
from gc2l.records import save_measurement
from gc2l.records.environment import describe_environment
from gc2l.training.allocator import keep_freed_memory

SIZES = {"wide_resnet_28_10": 32, "mobilenet_v2": 224}
QUICK_LAYERS = ("160->160 3x3 @32", "320->320 3x3 @16", "640->640 3x3 @8", "96->576 1x1 @14")


def main(
    quick: bool = False,
    slow: bool = True,
    groups: tuple[int, ...] = (1, 2, 4, 8, 16),
    threads: tuple[int, ...] = (1, 2),
    libraries: tuple[str, ...] = tuple(LIBRARIES),
    turns: int = 9,
    seconds: float = float("inf"),
    output: Path = Path("results"),
    name: str | None = None,
) -> int:
    """Measure, print, write.

    Args:
        quick: four layers and the wide network, n = 1, 8, 16, without slow libraries.
        slow: also libraries that take seconds for each case.
        groups: numbers of groups.
        threads: numbers of CPU threads.
        libraries: keys of `gc2l.bench.inference.LIBRARIES`.
        turns: how often the libraries take turns.
        seconds: begin no case after so long; the next run goes on.
        output: folder of the record, the table and the figure.
        name: of all three; by default "inference", with "-quick" for --quick.
    """
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    keep_freed_memory()  # else every output is paged in anew
    found, absent = installed(libraries)
    if quick:
        groups, turns, slow = (1, 8, 16), min(turns, 7), False
    if not slow:
        for library in [library for library in found if LIBRARIES[library].slow]:
            absent[library] = f"takes seconds for each case ({found.pop(library)}): without --quick and --no-slow"
    for library, reason in absent.items():
        print(f"{library} left out: {reason}", file=sys.stderr)
    cases = [
        case
        for network, size in SIZES.items()
        for case in layer_cases(network, size, groups, QUICK_LAYERS if quick else None)
    ]
    cases += [
        network_case(network, size, variant, n)
        for network, size in SIZES.items()
        if not (quick and network == "mobilenet_v2")
        for n in groups
        if (n == 16 or not quick) and n > 1 and not (network == "mobilenet_v2" and n > 8)
        for variant in ("gc", "gc2l")
    ]
    environment = describe_environment()
    name = name or ("inference-quick" if quick else "inference")
    path = output / f"{name}.json"
    record = begun(path, environment, found, absent)
    todo = list(product(threads, cases))
    check_replaces(path, record, [(case.network, case.name, case.variant, case.groups, n) for n, case in todo])
    started = time.perf_counter()
    for count, case in todo:
        if record.has(case.name, case.network, case.variant, case.groups, count):
            continue
        if time.perf_counter() - started > seconds:
            print(f"stopped after {seconds:g} seconds: the same command goes on", file=sys.stderr)
            print(inference_tables(record), end="")
            return 0
        print(f"{count} threads: {case.name}, {case.variant}, n = {case.groups}", file=sys.stderr)
        times, refusals = measure(case, list(found), count, turns, lambda line: print(line, file=sys.stderr))
        record = record.with_case(times, refusals)
        save_measurement(record, unfinished(path))  # after every case, should the run be stopped
    finish(path, record)
    print(publish_inference(record, output / "tables", output / "figures", name), end="")
    return 0


if __name__ == "__main__":
    run_script(lambda: tyro.cli(main, description=__doc__))
