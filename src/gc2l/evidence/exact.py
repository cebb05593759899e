"""Evidence that needs torch: parameter counts, and pairs of computations in float64."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.analysis import RunIndex
from gc2l.analysis.claims import Approximation, Deviation, Evidence
from gc2l.cells import Preset
from gc2l.models import paper_parameter_counts
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.paper import reported_rows
from gc2l.records import read_inference, read_scaling, read_wire

GROUPS = (2, 4, 8, 16)
KERNELS = ((3, 1, 1), (3, 2, 1), (1, 2, 0))
"""Kernel size, stride and padding in a wide residual network: 3x3, and 3x3 and the 1x1 shortcut that halve the side."""
IN_CHANNELS, OUT_CHANNELS, SIDE, BATCH = 32, 64, 9, 2

Outputs = tuple[Tensor, Tensor]


def gather_evidence(
    presets: Mapping[str, Preset],
    index: RunIndex,
    approximations: tuple[Approximation, ...],
    measured: Path,
) -> Evidence:
    """Everything that the claims rest on: the runs, what was measured on their weights, and what is computed here.

    Args:
        presets: the scales.
        index: the records.
        approximations: of trained networks.
        measured: folder of what `make table2`, `make wire` and `make edge` measured.

    Raises:
        ValueError: a file there that is no valid record.
    """
    counts = paper_parameter_counts(reported_rows("table1"))
    return Evidence(
        presets=presets,
        index=index,
        parameters={row: count.total for row, count in counts.items()},
        deviations=measure_deviations(),
        approximations=approximations,
        scaling=tuple(read_scaling(measured / "table2")),
        wire=read_wire(measured / "wire.json"),
        inference=read_inference(measured / "inference.json"),
    )


def measure_deviations() -> Mapping[str, tuple[Deviation, ...]]:
    """The deviations behind the claims A5 and B4, by the claim's id; the same numbers on every call."""
    return {
        "A5": (
            _worst("GC against SC with only its diagonal blocks", group_and_block_diagonal),
            _worst("GC-2L with C = 0 against GC", two_level_and_group),
        ),
        "B4": (_worst("A and r as one convolution against two", fused_and_separate),),
    }


def group_and_block_diagonal(x: Tensor, groups: int, kernel: tuple[int, int, int]) -> Outputs:
    """GC with the diagonal blocks of an SC layer, and that SC layer with every other block set to zero."""
    dense = GroupConv2d(IN_CHANNELS, OUT_CHANNELS, *kernel, bias=False, dtype=x.dtype)
    group = GroupConv2d(IN_CHANNELS, OUT_CHANNELS, *kernel, groups=groups, bias=False, dtype=x.dtype)
    diagonal = torch.zeros_like(dense.weight)
    rows, columns = OUT_CHANNELS // groups, IN_CHANNELS // groups
    for j in range(groups):
        own = slice(j * rows, (j + 1) * rows), slice(j * columns, (j + 1) * columns)
        diagonal[own] = dense.weight[own]
        group.weight[own[0]] = dense.weight[own]
    dense.weight.copy_(diagonal)
    return group(x), dense(x)


def two_level_and_group(x: Tensor, groups: int, kernel: tuple[int, int, int]) -> Outputs:
    """GC-2L whose C is zero, and GC with the same A."""
    two_level = TwoLevelGroupConv2d(IN_CHANNELS, OUT_CHANNELS, *kernel, groups=groups, bias=False, dtype=x.dtype)
    two_level.coarse_weight.zero_()
    group = GroupConv2d(IN_CHANNELS, OUT_CHANNELS, *kernel, groups=groups, bias=False, dtype=x.dtype)
    group.weight.copy_(two_level.weight)
    return two_level(x), group(x)


def fused_and_separate(x: Tensor, groups: int, kernel: tuple[int, int, int]) -> Outputs:
    """GC-2L from one grouped convolution with c_out/n + 1 filters a group, and from one each for A and r."""
    layer = TwoLevelGroupConv2d(IN_CHANNELS, OUT_CHANNELS, *kernel, groups=groups, bias=False, dtype=x.dtype)
    _, stride, padding = kernel
    fine = layer.weight.unflatten(0, (groups, -1))  # (n, c_out/n, c_in/n, k, k)
    restriction = layer.restriction_weight.unflatten(0, (groups, 1))  # (n, 1, c_in/n, k, k)
    fused = torch.cat((fine, restriction), dim=1).flatten(0, 1)  # (c_out + n, c_in/n, k, k)
    both = F.conv2d(x, fused, None, stride, padding, groups=groups).unflatten(1, (groups, -1))
    y, z = both[:, :, :-1].flatten(1, 2), both[:, :, -1]  # (N, c_out, H', W'), (N, n, H', W')
    separate = F.conv2d(x, layer.weight, None, stride, padding, groups=groups)
    representatives = F.conv2d(x, layer.restriction_weight, None, stride, padding, groups=groups)
    return y + F.conv2d(z, layer.coarse_weight), separate + F.conv2d(representatives, layer.coarse_weight)


def _worst(name: str, compute: Callable[[Tensor, int, tuple[int, int, int]], Outputs]) -> Deviation:
    """The largest deviation over all layers; rounding explains one unit in the last place for each product summed."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        value = max(_deviation(*compute(*case)) for case in _cases())
    tolerance = (9 * IN_CHANNELS + max(GROUPS)) * torch.finfo(torch.float64).eps
    return Deviation(name=f"{name}, {len(GROUPS) * len(KERNELS)} layers", value=value, tolerance=tolerance)


def _cases() -> Iterator[tuple[Tensor, int, tuple[int, int, int]]]:
    for groups in GROUPS:
        for kernel in KERNELS:
            yield torch.randn(BATCH, IN_CHANNELS, SIDE, SIDE, dtype=torch.float64), groups, kernel


def _deviation(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max() / second.abs().max())
