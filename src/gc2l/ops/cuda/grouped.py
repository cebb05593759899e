"""Group convolution, and GC-2L with its coarse level inside, by Triton kernels of our own on CUDA cards.

The kernels take images stored channels last and groups of any width; `blocks` says how they keep the matrix units
busy. How fast they are on a card has not been measured. What they cannot do, the framework does, with one line in the
log. With GC2L_CHECK=1 the first result of every configuration is compared with the formula.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gc2l.ops import reference
from gc2l.ops.autograd import GroupWay, TwoLevelWay
from gc2l.ops.cuda import serve
from gc2l.ops.cuda.blocks import blocks_of
from gc2l.ops.cuda.guard import guarded, has_failed
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import new_image


def can(x: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether the kernels can be used for x (N, c_in, H, W); where they cannot, the log says why."""
    reason = serve.obstacle(x, weight, geometry)
    if reason is not None:
        serve.report(reason)
    return reason is None and not has_failed(_key(x, weight, geometry))


def stored_coarse_channels(weight: Tensor, restriction: Tensor | None, groups: int) -> int:
    """Channels of z as the kernels store it."""
    blocks = blocks_of(weight, restriction, groups)
    return blocks.number * blocks.coarse_span


def group_forward(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """y (N, c_out, H', W')."""
    return _forward(x, weight, None, None, bias, geometry)[0]


def group_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, _wanted: Sequence[bool] = ()
) -> tuple[Tensor, Tensor]:
    """The gradients of x and A, wanted or not."""
    x_gradient, weight_gradient, *_ = _backward(gradient, x, None, weight, None, None, geometry)
    return x_gradient, weight_gradient


def two_level_forward(
    x: Tensor, weight: Tensor, restriction: Tensor, coarse: Tensor, bias: Tensor | None, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """y (N, c_out, H', W'), and z = r x as the kernels store it."""
    return _forward(x, weight, restriction, coarse, bias, geometry)


def two_level_backward(
    gradient: Tensor,
    x: Tensor,
    z: Tensor,
    weight: Tensor,
    restriction: Tensor,
    coarse: Tensor,
    geometry: Geometry,
    _wanted: Sequence[bool] = (),
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, A, r and C, wanted or not."""
    return _backward(gradient, x, z, weight, restriction, coarse, geometry)


GROUP = GroupWay(group_forward, group_backward)
TWO_LEVEL = TwoLevelWay(two_level_forward, two_level_backward)


def _forward(
    x: Tensor,
    weight: Tensor,
    restriction: Tensor | None,
    coarse: Tensor | None,
    bias: Tensor | None,
    geometry: Geometry,
) -> tuple[Tensor, Tensor]:
    def ours() -> tuple[Tensor, Tensor]:
        from gc2l.ops.cuda import launch  # noqa: PLC0415  (needs Triton)

        return launch.convolve(x, weight, restriction, coarse, bias, geometry)

    def formula(dtype: torch.dtype) -> Any:
        y = _formula((x, weight, restriction, coarse, bias), geometry, dtype)
        image = new_image(y, y.shape[1], y.shape[2:]).copy_(y)
        if dtype is not x.dtype:
            return image, None
        return image, new_image(y, stored_coarse_channels(weight, restriction, geometry.groups), y.shape[2:]).zero_()

    if not can(x, weight, geometry):
        return formula(x.dtype)
    return guarded("the forward kernel", _key(x, weight, geometry), x.dtype, ours, formula)


def _backward(
    gradient: Tensor,
    x: Tensor,
    z: Tensor | None,
    weight: Tensor,
    restriction: Tensor | None,
    coarse: Tensor | None,
    geometry: Geometry,
) -> Any:
    def ours() -> Any:
        from gc2l.ops.cuda import launch  # noqa: PLC0415

        return launch.convolve_backward(gradient, x, z, weight, restriction, coarse, geometry)

    def formula(dtype: torch.dtype) -> Any:
        x_gradient, *others = _formula_backward((gradient, x, weight, restriction, coarse), geometry, dtype)
        found = [
            None if like is None else torch.empty_like(like, dtype=one.dtype).copy_(one)
            for one, like in zip(others, (weight, restriction, coarse), strict=True)
        ]
        return new_image(x_gradient, x.shape[1], x.shape[2:]).copy_(x_gradient), *found

    if not can(x, weight, geometry):
        return formula(x.dtype)
    return guarded("the backward kernel", _key(x, weight, geometry), x.dtype, ours, formula)


def _formula(inputs: Sequence[Tensor | None], geometry: Geometry, dtype: torch.dtype) -> Tensor:
    x, weight, restriction, coarse, bias = (None if tensor is None else tensor.to(dtype) for tensor in inputs)
    assert x is not None and weight is not None
    if restriction is None or coarse is None:
        return reference.group(x, weight, bias, geometry)
    return reference.two_level(x, weight, restriction, coarse, bias, geometry)


def _formula_backward(inputs: Sequence[Tensor | None], geometry: Geometry, dtype: torch.dtype) -> Sequence[Any]:
    """Written out: autograd does not work inside an operator."""
    gradient, x, weight, restriction, coarse = (None if tensor is None else tensor.to(dtype) for tensor in inputs)
    assert gradient is not None and x is not None and weight is not None
    x_gradient, weight_gradient = geometry.convolve_backward(gradient, x, weight)
    if restriction is None or coarse is None:
        return x_gradient, weight_gradient, None, None
    z = geometry.convolve(x, restriction, None)
    z_gradient, coarse_gradient = Geometry().convolve_backward(gradient, z, coarse)
    through_z, restriction_gradient = geometry.convolve_backward(z_gradient, x, restriction)
    return x_gradient + through_z, weight_gradient, restriction_gradient, coarse_gradient


def _key(x: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Any, ...]:
    return tuple(x.shape), tuple(weight.shape), tuple(geometry), x.dtype
