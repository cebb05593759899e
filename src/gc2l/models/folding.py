"""One batch norm folded into the one convolution before it.

In evaluation mode batch norm multiplies every channel by a number s and adds a number t. A convolution takes both up:
s scales the rows of its weights that belong to the channel, and its bias b becomes s b + t.
"""

import copy
import sys
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor, nn

from gc2l.nn import Convolution
from gc2l.nn.convolution import has_hooks
from gc2l.variants import VARIANTS

LAYERS = (nn.Conv2d, *dict.fromkeys(resolve_name(variant.layer) for variant in VARIANTS.values()))
"""The layers that take up a norm."""


def norm_types() -> tuple[type[nn.Module], ...]:
    """The norms that can be folded; timm's too where timm is in use."""
    types = nn.BatchNorm2d, nn.SyncBatchNorm
    timm = sys.modules.get("timm.layers")
    return types if timm is None else (*types, timm.BatchNormAct2d)


def check_pair(layer: Any, norm: Any) -> None:
    """Check that `norm` can be folded into `layer`.

    Raises:
        TypeError: another kind of layer or norm.
        ValueError: training mode, hooks, another number of channels, a norm without running statistics.
    """
    for name, module, types in (("layer", layer, LAYERS), ("norm", norm, norm_types())):
        if type(module) not in types:
            known = ", ".join(kind.__name__ for kind in types)
            raise TypeError(f"{name} is a {type(module).__name__}; it must be one of {known}, and of no subclass")
        if module.training:
            raise ValueError(f"{name} is in training mode, where batch norm depends on the batch: call eval() first")
        if has_hooks(module):
            raise ValueError(f"{name} has hooks or a forward of its own, which would be lost: remove them first")
    if norm.num_features != layer.out_channels:
        raise ValueError(f"norm has num_features={norm.num_features}, but the layer out_channels={layer.out_channels}")
    if norm.running_mean is None:
        raise ValueError("norm has no running statistics, so that it depends on the batch; it cannot be folded")


def fold(layer: Any, norm: Any) -> nn.Module:
    """A copy of `layer` that computes norm(layer(x))."""
    fused = copy.deepcopy(layer).train()  # in evaluation mode our layers let nobody replace a bias
    with torch.no_grad():
        scale, shift = _scale_and_shift(norm, layer.weight.dtype)
        if isinstance(layer, Convolution):
            scale, shift = layer.in_row_order(scale), layer.in_row_order(shift)
        for name in layer.ROWS if isinstance(layer, Convolution) else ("weight",):
            rows = getattr(fused, name)
            rows.copy_(scale[:, None, None, None] * rows)
        bias = shift if layer.bias is None else scale * layer.bias + shift
        fused.bias = nn.Parameter(bias.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad)
    return fused.eval()


def without_norm(norm: Any) -> nn.Module:
    """What is left of a norm that is folded: nothing, or the activation that timm's has."""
    return nn.Identity() if type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm) else nn.Sequential(norm.drop, norm.act)


def _scale_and_shift(norm: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """s and t, each (c_out), in at least 32 bits."""
    wide = torch.promote_types(torch.promote_types(dtype, norm.running_var.dtype), torch.float32)
    scale = (norm.running_var.to(wide) + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -scale * norm.running_mean
    return scale, shift if norm.bias is None else shift + norm.bias
