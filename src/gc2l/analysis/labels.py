"""The names that readers see for networks, data sets, runs and estimates."""

import math
from collections.abc import Iterable, Mapping, Sequence

from gc2l.analysis.selection import Scale
from gc2l.analysis.statistics import Estimate
from gc2l.cells import Cell
from gc2l.records import Interval

DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "digits": "Digits",
    "imagenet": "ImageNet",
    "imagenette": "Imagenette",
}


def paper_network_label(network: str) -> str:
    """The name of a network of the paper: "wide_resnet_28_10" is "WideResNet-28-10"."""
    if network == "mobilenet_v2":
        return "MobileNetV2"
    return network.replace("wide_resnet", "WideResNet").replace("_", "-")


def paper_label(network: str, dataset: str) -> str:
    """For example "WideResNet-28-10 on CIFAR-10"."""
    return f"{paper_network_label(network)} on {DATASETS[dataset]}"


def model_label(cell: Cell) -> str:
    """The name of the network that a cell trains, such as "WideResNet-10-4" or "MobileNetV2 x 0.25"."""
    model = cell.model
    if model.depth is None:
        return "MobileNetV2" if model.width == 1 else f"MobileNetV2 x {model.width:g}"
    return f"WideResNet-{model.depth}-{model.width:g}"


def dataset_label(cell: Cell) -> str:
    """The name of the data set that a cell trains on, such as "CIFAR-10"."""
    return DATASETS[cell.data.name]


def data_label(cell: Cell) -> str:
    """The images that a cell trains on and how long, such as "Digits at 32 px, 4 epochs"."""
    size = "" if cell.data.image_size is None else f" at {cell.data.image_size} px"
    epochs = cell.training.epochs
    return f"{dataset_label(cell)}{size}, {epochs} {'epoch' if epochs == 1 else 'epochs'}"


def run_label(cell: Cell) -> str:
    """What a cell trains, such as "WideResNet-10-4 on CIFAR-10, 4 epochs"."""
    return f"{model_label(cell)} on {data_label(cell)}"


def scale_label(scale: Scale) -> str:
    """Such as "mini: WideResNet-10-4 on CIFAR-10, 4 epochs, for WideResNet-28-10 on CIFAR-10"."""
    column = scale.column
    return f"{scale.preset}: {run_label(column.template)}, for {paper_label(column.network, column.dataset)}"


def range_label(counts: Iterable[int], dash: str) -> str:
    """The smallest and the largest of some numbers, such as "1-3", or the one that they all are; "0" without any."""
    known = list(counts) or [0]
    low, high = min(known), max(known)
    return f"{low}" if low == high else f"{low}{dash}{high}"


def seeds_label(seeds: Sequence[int]) -> str:
    """Ascending seeds in words, such as "seed 1", "seeds 2-5" or "seeds 1, 3"."""
    first, last = seeds[0], seeds[-1]
    if first == last:
        return f"seed {first}"
    gapless = len(seeds) > 2 and last - first == len(seeds) - 1
    return f"seeds {first}-{last}" if gapless else f"seeds {', '.join(map(str, seeds))}"


def executions_label(seeds: Mapping[str, Sequence[int]]) -> str:
    """Which seeds ran where, such as "seed 1 on cpu, float32; seeds 2-5 on NVIDIA H200, bfloat16"."""
    return "; ".join(
        f"{seeds_label(of)} on {name}" for name, of in sorted(seeds.items(), key=lambda entry: list(entry[1]))
    )


def mean_text(mean: Estimate, sign: str = "") -> str:
    """A mean with half its interval, such as "5.12 ± 0.31"; without one, "5.12". With sign="+" it is "+5.12"."""
    return f"{mean.value:{sign}.2f}" + ("" if mean.interval is None else f" ± {_half(mean.interval):.2f}")


def estimate_text(value: float, interval: Interval | None) -> str:
    """An estimate with its interval, such as "-1.00 (-1.50 to -0.50)"."""
    if interval is None:
        return f"{value:.3g}"
    # Two significant digits of half the interval, at least two decimals.
    half = _half(interval)
    decimals = max(2, 1 - math.floor(math.log10(half))) if half > 0 else 2
    return f"{value:.{decimals}f} ({interval.low:.{decimals}f} to {interval.high:.{decimals}f})"


def _half(interval: Interval) -> float:
    return (interval.high - interval.low) / 2
