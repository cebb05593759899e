"""The tables of `make bench`, and its targets."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from scipy.stats import gmean
from tabulate import tabulate

from gc2l.bench.layers import FRAMEWORK
from gc2l.bench.loops import BARE, PLAIN, SUITE

Row = dict[str, Any]
_LAYER_TARGET, _SHARE_TARGET, _SUITE_TARGET, _LIGHTNING_TARGET = 1.15, 0.50, 2.0, 1.03

GPU_STEP_OF_SC = {"GC-2L": {2: 0.95, 4: 0.8, 8: 0.7, 16: 0.65}, "GC": {2: 0.9, 4: 0.75, 8: 0.65, 16: 0.6}}
"""On a GPU, the time of a WideResNet-28-10 step over SC's, by n."""
GPU_STEP_OF_GC = 1.10
GPU_LAYER = 0.6
GPU_SHARE_OF_PEAK = 0.45


def layer_table(rows: Iterable[Row], title: str) -> str:
    """Per pass and candidate: geometric means over all shapes by n, and how many are slower than SC."""
    times: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    slower: dict[tuple[str, str], int] = defaultdict(int)
    rows = list(rows)
    sc = {_place(row): row["median"] for row in rows if row["candidate"] == "SC"}
    for row in rows:
        times[row["pass"], row["candidate"], row["groups"]].append(row["median"])
        slower[row["pass"], row["candidate"]] += row["median"] > 1.05 * sc[_place(row)]
    groups = sorted({row["groups"] for row in rows})
    lines = []
    for kind, candidate in dict.fromkeys((row["pass"], row["candidate"]) for row in rows):
        means = [gmean(times[kind, candidate, n]) for n in groups]
        overall = gmean([value for n in groups for value in times[kind, candidate, n]])
        lines.append((kind, candidate, *(f"{mean:.2f}" for mean in means), f"{overall:.2f}", slower[kind, candidate]))
    header = ("pass", "candidate", *(f"n={n}" for n in groups), "all n", "shapes > 5 % slower than SC")
    return f"{title}: time over {FRAMEWORK}, geometric mean over shapes\n" + _table(lines, header)


def step_table(rows: Sequence[Row], title: str) -> str:
    """Per network, n and candidate: time over GC, images per second, memory kept for the backward pass."""
    lines = [
        (
            row["network"],
            "compiled" if row["compile"] else "graph" if row.get("graph") else "eager",
            "NHWC" if row["channels_last"] else "NCHW",
            row["pass"],
            row["groups"],
            row["candidate"],
            f"{row['median']:.2f}",
            f"{row['low']:.2f}-{row['high']:.2f}",
            f"{row['images_per_second']:.1f}",
            f"{row['kept_bytes'] / 2**20:.0f}" if row["kept_bytes"] else "",
            f"{row['peak_bytes'] / 2**20:.0f}" if row.get("peak_bytes") else "",
        )
        for row in rows
    ]
    header = ("network", "", "", "pass", "n", "candidate", "over GC", "quartiles", "images/s", "kept MiB", "peak MiB")
    return f"{title}\n" + _table(lines, header)


def loop_table(rows: Sequence[Row], title: str) -> str:
    """The loops, relative to the time of gc2l."""
    lines = [
        (row["network"], row["candidate"], f"{row['median']:.3f}", f"{row['low']:.3f}-{row['high']:.3f}",
         f"{row['images_per_second']:.1f}")
        for row in rows
    ]  # fmt: skip
    return f"{title}\n" + _table(lines, ("network", "loop", "over gc2l", "quartiles", "images/s"))


def targets(layers: Sequence[Row], steps: Sequence[Row], loops: Sequence[Row]) -> str:
    """Every target with the measured value."""
    lines = []
    for row in steps:
        mode = "compiled" if row["compile"] else "eager"
        if row["pass"] != "training step" or not row["channels_last"]:
            continue
        where = f"{row['network']} step of {row['images']} images, {mode}, n = {row['groups']}"
        if row["candidate"] == "GC-2L":
            target = 1.2 if row["groups"] >= 16 else 1.1
            lines.append(_target(f"GC-2L / GC, {where}", target, row["median"], _spread(row)))
        if row["candidate"] == "SC" and row["groups"] == 4 and row["network"] == "wide_resnet_28_10":
            keys = ("network", "images", "groups", "pass", "compile", "channels_last")
            mine = next(
                other["median"]
                for other in steps
                if other["candidate"] == "GC-2L" and all(other[key] == row[key] for key in keys)
            )
            lines.append(_target(f"GC-2L / SC, {where}", _SHARE_TARGET, mine / row["median"]))
    wide = defaultdict(list)
    for row in layers:
        if (
            row["network"] == "wide_resnet_28_10" and row["channels_last"] and row["candidate"] == "GC-2L"
            and row["pass"] == "forward + backward" and row["groups"] > 1
        ):  # fmt: skip
            wide[row["images"]].append(row["median"])
    for images, ratios in wide.items():
        name = f"GC-2L / GC layers, WRN-28-10, {images} images, geometric mean"
        lines.append(_target(name, _LAYER_TARGET, gmean(ratios)))
    by_place = {(_place(row), row["candidate"]): row["median"] for row in layers}
    judged = [row for row in layers if row["candidate"] in ("GC", "GC-2L", "Shuffle") and row["groups"] > 1]
    slow = [row for row in judged if row["median"] > 1.05 * by_place[_place(row), "SC"]]
    if judged:
        verdict = "met" if not slow else "MISSED"
        lines.append(("layers > 5 % slower than SC of their shape", "none", f"{len(slow)} of {len(judged)}", verdict))
    for row in loops:
        if row["candidate"] == PLAIN:
            name = f"plain loop / {SUITE}, {row['network']}"
            lines.append(_target(name, _SUITE_TARGET, row["median"], _spread(row), at_least=True))
        if row["candidate"] == BARE:
            lines.append(_target(f"Lightning / bare loop, {row['network']}", _LIGHTNING_TARGET, 1 / row["median"]))
    return "targets\n" + _table(lines, ("figure", "target", "measured (quartiles)", ""))


def gpu_targets(layers: Sequence[Row], steps: Sequence[Row], limits: dict[str, float]) -> str:
    """The same for a GPU: GC and GC-2L against SC and each other, layers, and SC's share of the peak."""
    lines = []
    trained = [row for row in steps if row["pass"] == "training step"]
    for key in dict.fromkeys((row["groups"], row["compile"], row["graph"]) for row in trained):
        of = {row["candidate"]: row for row in trained if (row["groups"], row["compile"], row["graph"]) == key}
        n, compiled, graph = key
        where = f"step, {'compiled' if compiled else 'graph' if graph else 'eager'}, n = {n}"
        for name, by_groups in GPU_STEP_OF_SC.items():
            if n in by_groups:
                ratio = of[name]["seconds"] / of["SC"]["seconds"]
                lines.append(_target(f"{name} / SC {where}", by_groups[n], ratio))
        lines.append(_target(f"GC-2L / GC {where}", GPU_STEP_OF_GC, of["GC-2L"]["median"]))
        share = of["SC"]["flops"] / of["SC"]["seconds"] / limits["flops"]
        name = f"SC {where}: share of the measured peak"
        lines.append(_target(name, GPU_SHARE_OF_PEAK, share, at_least=True))
    times: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
    for row in layers:
        if row["pass"] == "forward + backward" and row["channels_last"]:
            times[row["c_in"], row["size"], row["groups"]][row["candidate"]] = row["median"]
    for name in ("GC", "GC-2L"):
        if ratios := [one[name] / min(one[FRAMEWORK], one["SC"]) for one in times.values()]:
            label = f"{name} layers over the better of cuDNN's grouped and dense, geometric mean of {len(ratios)}"
            lines.append(_target(label, GPU_LAYER, gmean(ratios)))
    return "targets\n" + _table(lines, ("figure", "target", "measured", ""))


def _target(
    name: str, target: float, value: float, spread: str = "", *, at_least: bool = False
) -> tuple[str, str, str, str]:
    met = value >= target if at_least else value <= target
    sign = ">=" if at_least else "<="
    return name, f"{sign} {target:.2f}", f"{value:.3f} {spread}".strip(), "met" if met else "MISSED"


def _place(row: Row) -> tuple[Any, ...]:
    keys = ("network", "images", "c_in", "c_out", "kernel", "stride", "size", "groups", "channels_last", "pass")
    return tuple(row[key] for key in keys)


def _spread(row: Row) -> str:
    return f"({row['low']:.2f}-{row['high']:.2f})"


def _table(lines: Sequence[tuple[Any, ...]], header: tuple[str, ...]) -> str:
    return tabulate(lines, header, disable_numparse=True) + "\n"
