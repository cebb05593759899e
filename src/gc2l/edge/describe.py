"""From a layer to the `GroupedConvolution` that it equals, or why it stays as it is."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.edge.grouped import GroupedConvolution
from gc2l.nn import (
    Convolution,
    GroupConv2d,
    LearnableGroupConv2d,
    ShuffleGroupConv2d,
    ShuffleTwoLevelGroupConv2d,
    TwoLevelGroupConv2d,
)
from gc2l.nn.convolution import geometry_of, has_hooks, padding_widths
from gc2l.ops.geometry import Geometry
from gc2l.ops.windows import extended_groups


def describe(layer: nn.Module, *, also_standard: bool = False) -> GroupedConvolution | str:
    """What `layer` computes, with copies of its weights, or in words why it is left as it is.

    Layers with hooks, a type other than float32, a device other than the CPU and subclasses are left, and so are
    standard convolutions, which the framework computes well, unless `also_standard`.
    """
    parts = _PARTS.get(type(layer))
    if parts is None and isinstance(layer, Convolution) and type(layer).__module__.startswith("gc2l.nn."):
        parts = _dense
    if parts is None:
        return f"it is a {type(layer).__name__}; compiled are {', '.join(kind.__name__ for kind in _PARTS)}"
    if has_hooks(layer):
        return "it has hooks or a forward of its own, which would be lost"
    weight: Any = layer.weight
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return f"its weights are {weight.dtype} on {weight.device}; compiled are float32 layers on the CPU"
    if layer.groups == 1 and not also_standard and type(layer) in (nn.Conv2d, GroupConv2d):
        return "it is a standard convolution"
    with torch.no_grad(), torch.device("cpu"):
        return GroupedConvolution(**(_geometry(layer) | parts(layer)))


def _geometry(layer: Any) -> dict[str, Any]:
    left, right, top, bottom = widths = padding_widths(layer)
    geometry = geometry_of(layer)
    if layer.padding_mode == "zeros" and left == right and top == bottom:
        return {"geometry": geometry}
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return {"geometry": geometry._replace(padding=(0, 0)), "padding": widths, "padding_mode": mode}


def _group(layer: Any) -> dict[str, Any]:
    return {"weight": _copy(layer.weight), "bias": _copy(layer.bias)}


def _two_level(layer: Any) -> dict[str, Any]:
    """With an overlap A reads neighbours of its group, too, for which r has zeros."""
    if layer.groups == 1:
        return _dense(layer)
    halo = layer.halo
    parts = _group(layer) | {
        "restriction": _copy(F.pad(layer.restriction_weight, (0, 0, 0, 0, halo, halo))),
        "coarse": _copy(layer.coarse_weight.flatten(1)),
    }
    if halo:
        parts["inputs"] = extended_groups(layer.in_channels, layer.groups, halo, torch.device("cpu")).flatten()
    return parts


def _two_level_shuffle(layer: Any) -> dict[str, Any]:
    return _dense(layer) if layer.groups == 1 else _two_level(layer) | _shuffled(layer)


def _shuffle(layer: Any) -> dict[str, Any]:
    return _group(layer) | _shuffled(layer)


def _shuffled(layer: Any) -> dict[str, Any]:
    channels = torch.arange(layer.out_channels).view(layer.groups, -1).T.flatten()  # channel a n + b is a of group b
    return {"bias": _copy(layer.dense_bias()), "outputs": channels}


def _learnable(layer: Any) -> dict[str, Any]:
    """Groups padded to the size of the largest, unless the dense weight has fewer numbers."""
    inputs, outputs = (logits.softmax(1).argmax(1) for logits in (layer.input_logits, layer.output_logits))
    sizes = [max(int(torch.bincount(of, minlength=layer.groups).max()), 1) for of in (inputs, outputs)]
    if layer.groups * math.prod(sizes) >= layer.in_channels * layer.out_channels:
        return _dense(layer)
    sources, rows = (_members(of, layer.groups, size) for of, size in zip((inputs, outputs), sizes, strict=True))
    weight = layer.weight.new_zeros(layer.groups, sizes[1], sizes[0], *layer.kernel_size)
    for group in range(layer.groups):
        mine, theirs = rows[group][rows[group] >= 0], sources[group][sources[group] >= 0]
        weight[group, : len(mine), : len(theirs)] = layer.weight[mine][:, theirs]
    places = torch.empty(layer.out_channels, dtype=torch.long)
    flat = rows.flatten()
    places[flat[flat >= 0]] = (flat >= 0).nonzero().flatten()
    return {"weight": weight.flatten(0, 1), "bias": _copy(layer.bias), "inputs": sources.flatten(), "outputs": places}


def _dense(layer: Any) -> dict[str, Any]:
    """As the standard convolution that it equals: for layers that compute no fewer products themselves."""
    dense = layer.to_dense()
    geometry: Geometry = _geometry(layer)["geometry"]
    return {"weight": _copy(dense.weight), "bias": _copy(dense.bias), "geometry": geometry._replace(groups=1)}


def _members(group_of: Tensor, groups: int, size: int) -> Tensor:
    """(groups, size) the channels of each group, then -1."""
    members = torch.full((groups, size), -1)
    for group in range(groups):
        mine = (group_of == group).nonzero().flatten()
        members[group, : len(mine)] = mine
    return members


def _copy(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.detach().clone().contiguous()


_PARTS: Mapping[type[nn.Module], Callable[[Any], dict[str, Any]]] = MappingProxyType(
    {
        nn.Conv2d: _group,
        GroupConv2d: _group,
        TwoLevelGroupConv2d: _two_level,
        ShuffleGroupConv2d: _shuffle,
        ShuffleTwoLevelGroupConv2d: _two_level_shuffle,
        LearnableGroupConv2d: _learnable,
    }
)
