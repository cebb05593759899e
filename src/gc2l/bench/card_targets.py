"""The targets of `make bench DEVICE=cuda`, each beside its figure."""

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from gc2l.bench.layers import FRAMEWORK, geometric_mean

Row = dict[str, Any]
STEP_OF_SC = {"GC-2L": {2: 0.95, 4: 0.8, 8: 0.7, 16: 0.65}, "GC": {2: 0.9, 4: 0.75, 8: 0.65, 16: 0.6}}
"""Time of a WideResNet-28-10 step over SC's, by n."""
STEP_OF_GC = 1.10
LAYER = 0.6
SHARE_OF_PEAK = 0.45


def card_targets(layers: Sequence[Row], steps: Sequence[Row], limits: dict[str, float]) -> str:
    """A line for each figure that was measured: GC and GC-2L against SC and each other, layers, and SC's arithmetic."""
    lines: list[tuple[str, str, str, str]] = []

    def add(name: str, target: float, value: float, *, at_least: bool = False) -> None:
        met = value >= target if at_least else value <= target
        lines.append((name, f"{'>=' if at_least else '<='} {target:.2f}", f"{value:.3f}", "met" if met else "MISSED"))

    trained = [row for row in steps if row["pass"] == "training step"]
    for key in dict.fromkeys((row["groups"], row["compile"], row["graph"]) for row in trained):
        of = {row["candidate"]: row for row in trained if (row["groups"], row["compile"], row["graph"]) == key}
        n, compiled, graph = key
        where = f"step, {'compiled' if compiled else 'graph' if graph else 'eager'}, n = {n}"
        for name, targets in STEP_OF_SC.items():
            if n in targets:
                add(f"{name} / SC {where}", targets[n], of[name]["seconds"] / of["SC"]["seconds"])
        add(f"GC-2L / GC {where}", STEP_OF_GC, of["GC-2L"]["median"])
        share = of["SC"]["flops"] / of["SC"]["seconds"] / limits["flops"]
        add(f"SC {where}: share of the measured peak", SHARE_OF_PEAK, share, at_least=True)
    for name in ("GC", "GC-2L"):
        if ratios := _over_the_better(layers, name):
            label = f"{name} layers over the better of cuDNN's grouped and dense, geometric mean of {len(ratios)}"
            add(label, LAYER, geometric_mean(ratios))
    return "targets\n" + tabulate(lines, ("figure", "target", "measured", ""), disable_numparse=True) + "\n"


def _over_the_better(layers: Sequence[Row], name: str) -> list[float]:
    """Forward + backward, channels last, of `name` over the quicker of `FRAMEWORK` and SC, for each shape and n."""
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in layers:
        if row["pass"] == "forward + backward" and row["channels_last"]:
            found.setdefault((row["c_in"], row["size"], row["groups"]), {})[row["candidate"]] = row["median"]
    return [times[name] / min(times[FRAMEWORK], times["SC"]) for times in found.values()]
