"""(d) Roofline figure: arithmetic of the layers against the limits of the machine."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from gc2l.analysis.figures.style import styled

NUMBER_BYTES = 4
_MARKS = {"SC": ("o", "0.2"), "nn.Conv2d(groups=n)": ("s", "C0"), "GC": ("D", "C9"), "GC-2L": ("^", "C1")}


def layer_work(row: dict[str, Any]) -> tuple[float, float]:
    """Floating-point operations, and the least memory traffic in bytes, of forward and backward pass of one layer.

    They are those of SC, GC and GC-2L themselves, whatever the algorithm adds or saves.
    """
    groups = 1 if row["candidate"] == "SC" else row["groups"]
    pixels = row["images"] * (row["size"] // row["stride"]) ** 2
    taps = row["kernel"] ** 2
    weights = taps * row["c_in"] * row["c_out"] / groups
    if row["candidate"].startswith("GC-2L"):
        weights += taps * row["c_in"] + row["groups"] * row["c_out"]
    activations = row["images"] * row["size"] ** 2 * row["c_in"] + pixels * row["c_out"]
    return 6 * weights * pixels, 3 * NUMBER_BYTES * (activations + weights)


@styled
def draw_roofline(rows: Sequence[dict[str, Any]], peak_flops: float, peak_bandwidth: float) -> Figure:
    """Each layer's forward + backward: operations per byte against operations per second."""
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    edge = peak_flops / peak_bandwidth
    reach = [0.3, edge, 3000]
    axes.plot(reach, [min(peak_flops, peak_bandwidth * x) / 1e9 for x in reach], color="0.5", linewidth=1)
    for candidate, (marker, colour) in _MARKS.items():
        points = []
        for row in rows:
            if row["candidate"] == candidate and row["pass"] == "forward + backward":
                operations, moved = layer_work(row)
                points.append((operations / moved, operations / row["seconds"] / 1e9))
        if points:
            intensities, speeds = zip(*points, strict=True)
            axes.scatter(intensities, speeds, s=10, marker=marker, color=colour, label=candidate, alpha=0.7)
    axes.set(xscale="log", yscale="log", xlabel="operations per byte that has to move", ylabel="10⁹ operations / s")
    axes.legend(loc="lower right")
    return figure
