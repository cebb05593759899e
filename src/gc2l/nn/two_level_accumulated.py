"""GC-2L with hand-written passes: C z is added into the output of the group convolution as a matrix product.

Beside the group convolution itself the formulas of `two_level_formulas` read and write the whole output several times
more. Here the product C z accumulates where the group convolution wrote, and the backward pass takes the gradients of
z and of C straight from the output's: by `kernels` where they serve, else by `two_level_passes`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from gc2l.nn import kernels
from gc2l.nn.algorithms import choose_passes
from gc2l.nn.blocks import block_diagonal
from gc2l.nn.geometry import Geometry, is_channels_last
from gc2l.nn.pointwise import (
    ChannelsLast,
    grouped_product,
    grouped_product_backward,
    image,
    new_image,
    pointwise_input,
    rows,
)
from gc2l.nn.traced import formula_gradients, is_watched
from gc2l.nn.two_level_formulas import fused_parts, fused_weight, separate

LAST = torch.channels_last
HAND_WRITTEN = ("direct", "fused", "dense_restriction", "matmul")


def accumulated(
    algorithm: str,
    geometry: Geometry,
    x: Tensor,
    weight: Tensor,
    restriction: Tensor,
    coarse: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """y of eq. 3.5 by one of `HAND_WRITTEN`: (N, c_in, H, W) -> (N, c_out, H', W'), in the memory format of x."""
    given = x
    if algorithm == "matmul" and weight.shape[2:] == (1, 1):
        x = pointwise_input(x, geometry)
        geometry = geometry._replace(stride=(1, 1), padding=(0, 0))
    # Here, not inside: what the function saves has to be its very inputs, for second derivatives.
    x = x if is_channels_last(x) else ChannelsLast.apply(x, 1, 1)
    y = AccumulatedTwoLevel.apply(x, weight, restriction, coarse, bias, geometry, algorithm)
    return y if is_channels_last(given) else y.contiguous()


class AccumulatedTwoLevel(Function):
    """y of eq. 3.5 for x, weight, restriction, coarse, bias, geometry, algorithm; everything channels last.

    The algorithm says how z = r x and its gradients come about: "fused" with those of A x in one group convolution;
    "dense_restriction" in the forward pass as a standard convolution; "matmul" as matrix products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        restriction: Tensor,
        coarse: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        algorithm: str,
    ) -> Tensor:
        """Compute y (N, c_out, H', W')."""
        passes, c = choose_passes(x, weight, coarse.shape[1]), coarse.flatten(1)
        if algorithm == "direct" and kernels.convolve_whole(x, weight, c.shape[1], geometry):
            y, z = kernels.convolve(x, weight, restriction, c, geometry)
            if bias is not None:
                y += bias[:, None, None]
        elif algorithm in ("direct", "fused"):
            both_weight = fused_weight(weight, restriction, geometry.groups).contiguous(memory_format=LAST)
            both = geometry.convolve(x, both_weight, None).contiguous(memory_format=LAST)
            y = new_image(both, len(weight), both.shape[2:])
            z = passes.take_apart(rows(both), c, geometry.groups, rows(y))
            if bias is not None:
                rows(y).add_(bias)
        else:
            if _is_product(weight, algorithm):
                y = grouped_product(x, weight, bias, geometry.groups)
            else:
                y = geometry.convolve(x, weight, bias).contiguous(memory_format=LAST)
            if algorithm == "matmul":
                z = passes.restrict(x, restriction, geometry)
            else:
                dense = block_diagonal(restriction, geometry.groups).contiguous(memory_format=LAST)
                z = rows(geometry.convolve(x, dense, None, groups=1))
            passes.add_coarse(rows(y), z, c)
        ctx.save_for_backward(x, weight, restriction, coarse, bias, z)
        ctx.geometry, ctx.algorithm = geometry, algorithm
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of the five tensors."""
        x, weight, restriction, coarse, bias, z = ctx.saved_tensors
        geometry: Geometry = ctx.geometry
        if torch.is_grad_enabled():

            def formula(x: Tensor, a: Tensor, r: Tensor, c: Tensor, b: Tensor | None) -> Tensor:
                return separate(x, a, r, c, b, geometry)

            return *formula_gradients(formula, (x, weight, restriction, coarse, bias), gradient), None, None
        gradient = gradient.contiguous(memory_format=LAST)
        upstream = rows(gradient)  # (N H' W', c_out)
        bias_gradient = None if bias is None else upstream.sum(0)
        passes, c = choose_passes(x, weight, coarse.shape[1]), coarse.flatten(1)
        direct = ctx.algorithm == "direct" and kernels.convolve_whole(x, weight, c.shape[1], geometry)
        if direct and not is_watched(gradient):
            found = kernels.convolve_backward(gradient, x, z, weight, restriction, c, geometry)
            x_gradient, weight_gradient, restriction_gradient, coarse_gradient = found
        elif ctx.algorithm == "matmul":
            z_gradient, coarse_gradient = passes.coarse_gradients(upstream, z, c)
            if _is_product(weight, ctx.algorithm):
                x_gradient, weight_gradient = grouped_product_backward(gradient, x, weight, geometry.groups)
            else:
                x_gradient, weight_gradient = geometry.convolve_backward(
                    gradient, x, weight.contiguous(memory_format=LAST)
                )
                x_gradient = x_gradient.contiguous(memory_format=LAST)
            _, restriction_gradient = passes.restrict_backward(z_gradient, x, restriction, geometry, x_gradient)
        else:
            pixels, coarse_gradient = passes.put_together(upstream, z, c, geometry.groups)
            both_weight = fused_weight(weight, restriction, geometry.groups).contiguous(memory_format=LAST)
            x_gradient, both_gradient = geometry.convolve_backward(image(pixels, gradient), x, both_weight)
            sizes = (len(weight) // geometry.groups, len(restriction) // geometry.groups)
            weight_gradient, restriction_gradient = fused_parts(both_gradient, *sizes)
        coarse_gradient = coarse_gradient.reshape(coarse.shape)
        return x_gradient, weight_gradient, restriction_gradient, coarse_gradient, bias_gradient, None, None


def _is_product(weight: Tensor, algorithm: str) -> bool:
    return algorithm == "matmul" and weight.shape[2:] == (1, 1)
