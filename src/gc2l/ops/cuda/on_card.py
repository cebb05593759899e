"""The way "triton" of the convolutions: `grouped` in eager code, `operators` under a compiler, else the formula."""

from typing import Any

import torch
from torch import Tensor

from gc2l.ops import reference
from gc2l.ops.autograd import GroupConvolution, TwoLevelConvolution
from gc2l.ops.cuda import grouped, operators
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import is_channels_last, to_channels_last
from gc2l.ops.transforms import autocast, compiles_for_card, needs_formula


def group(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Group convolution in the memory format of x."""
    if x.dim() == 4 and compiles_for_card(x):
        read, weight, bias = autocast(x, weight, bias)
        last = read.contiguous(memory_format=torch.channels_last)
        return _as_stored(operators.group_conv(last, weight, bias, *operators.settings(geometry)), x)
    read = _read(x, weight, geometry)
    if read is None:
        return reference.group(x, weight, bias, geometry)
    return _as_stored(GroupConvolution.apply(grouped.GROUP, read, weight, bias, geometry), x)


def two_level(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> Tensor:
    """Two-level group convolution in the memory format of x."""
    tensors: tuple[Any, ...] = (weight, restriction, coarse, bias)
    if x.dim() == 4 and compiles_for_card(x):
        read, *tensors = autocast(x, *tensors)  # type: ignore[assignment]
        last = read.contiguous(memory_format=torch.channels_last)
        return _as_stored(operators.two_level_conv(last, *tensors, *operators.settings(geometry))[0], x)
    read = _read(x, weight, geometry)
    if read is None:
        return reference.two_level(x, weight, restriction, coarse, bias, geometry)
    return _as_stored(TwoLevelConvolution.apply(grouped.TWO_LEVEL, read, *tensors, geometry), x)


def _read(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor | None:
    """x as the kernels read it, None if they cannot; the weights they cast themselves."""
    mixed = x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type)  # an error, the framework's
    if needs_formula() or x.dim() != 4 or mixed:
        return None
    (read,) = autocast(x)
    return to_channels_last(read) if grouped.can(read, weight, geometry) else None


def _as_stored(y: Tensor, x: Tensor) -> Tensor:
    return y if is_channels_last(x) else y.contiguous()
