"""GC-2L with hand-written passes: C z is added into the output of the group convolution as a matrix product.

Beside the group convolution itself the formulas of `two_level_formulas` read and write the whole output several times
more. Here the product C z accumulates where the group convolution wrote, and the backward pass takes the gradients of
z and of C straight from the output's.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from gc2l.nn.blocks import block_diagonal, diagonal_blocks
from gc2l.nn.geometry import Geometry, is_channels_last
from gc2l.nn.pointwise import ChannelsLast, grouped_product, grouped_product_backward, image, pointwise_input, rows
from gc2l.nn.traced import formula_gradients
from gc2l.nn.two_level_formulas import fused_weight, separate
from gc2l.nn.two_level_taps import by_channel, restrict, restrict_backward

LAST = torch.channels_last
HAND_WRITTEN = ("fused", "dense_restriction", "matmul")


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
        if algorithm == "fused":
            y, z = _fused_forward(x, weight, restriction, geometry)
            if bias is not None:
                y += bias[:, None, None]
        elif _is_product(weight, algorithm):
            y = grouped_product(x, weight, bias, geometry.groups)
            z = image(rows(x) @ block_diagonal(restriction, geometry.groups).flatten(1).T, x)
        else:
            y = geometry.convolve(x, weight, bias).contiguous(memory_format=LAST)
            if algorithm == "matmul":
                z = restrict(x, restriction, geometry).movedim(0, 1)
            else:
                dense = block_diagonal(restriction, geometry.groups).contiguous(memory_format=LAST)
                z = geometry.convolve(x, dense, None, groups=1)
        rows(y).addmm_(rows(z), coarse.flatten(1).T)
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
        # With the narrow matrix on the left: the other way round takes two to four times as long.
        coarse_gradient = (rows(z).T @ upstream).T.reshape(coarse.shape)
        bias_gradient = None if bias is None else upstream.sum(0)
        if _is_product(weight, ctx.algorithm):
            z_gradient = upstream @ coarse.flatten(1)  # (N H' W', n m)
            x_gradient, weight_gradient = grouped_product_backward(gradient, x, weight, geometry.groups)
            rows(x_gradient).addmm_(z_gradient, block_diagonal(restriction, geometry.groups).flatten(1))
            dense = (z_gradient.T @ rows(x))[:, :, None, None]
            restriction_gradient = diagonal_blocks(dense, geometry.groups)
        elif ctx.algorithm == "matmul":
            x_gradient, weight_gradient = _convolution_backward(gradient, x, weight, geometry)
            x_gradient = x_gradient.contiguous(memory_format=LAST)
            z_gradient = by_channel(upstream, coarse, gradient)
            _, restriction_gradient = restrict_backward(z_gradient, x, restriction, geometry, x_gradient)
        else:
            z_gradient = image(upstream @ coarse.flatten(1), gradient)  # (N, n m, H', W')
            parts = [part.permute(0, 2, 3, 1).unflatten(3, (geometry.groups, -1)) for part in (gradient, z_gradient)]
            both = torch.cat(parts, dim=4).flatten(3).permute(0, 3, 1, 2)  # (N, c_out + n m, H', W')
            both_weight = fused_weight(weight, restriction, geometry.groups)
            x_gradient, both_gradient = _convolution_backward(both, x, both_weight, geometry)
            fine = len(weight) // geometry.groups
            blocks = both_gradient.unflatten(0, (geometry.groups, -1))
            weight_gradient, restriction_gradient = blocks[:, :fine].flatten(0, 1), blocks[:, fine:].flatten(0, 1)
        return x_gradient, weight_gradient, restriction_gradient, coarse_gradient, bias_gradient, None, None


def _is_product(weight: Tensor, algorithm: str) -> bool:
    return algorithm == "matmul" and weight.shape[2:] == (1, 1)


def _fused_forward(x: Tensor, weight: Tensor, restriction: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    both_weight = fused_weight(weight, restriction, geometry.groups).contiguous(memory_format=LAST)
    both = geometry.convolve(x, both_weight, None).permute(0, 2, 3, 1)  # (N, H', W', c_out + n m)
    both = both.unflatten(3, (geometry.groups, -1))
    fine = len(weight) // geometry.groups
    y, z = (part.flatten(3).contiguous().permute(0, 3, 1, 2) for part in (both[..., :fine], both[..., fine:]))
    return y, z


def _convolution_backward(gradient: Tensor, x: Tensor, weight: Tensor, to: Geometry) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the weight."""
    weight = weight.contiguous(memory_format=LAST)
    x_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, to.stride, to.padding, to.dilation, False, (0, 0), to.groups, (True, True, False)
    )
    return x_gradient, weight_gradient
