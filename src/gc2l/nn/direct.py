"""Group convolution by the compiled kernel that GC-2L has its coarse level in, without that level."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from gc2l.nn import kernels
from gc2l.nn.geometry import Geometry
from gc2l.nn.pointwise import rows
from gc2l.nn.traced import formula_gradients, is_watched


class DirectGroupConv(Function):
    """y = A x; arguments x, weight, bias, geometry, such that `kernels.convolve_whole`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """Compute y (N, c_out, H', W')."""
        ctx.save_for_backward(x, weight, bias)
        ctx.geometry = geometry
        y, _ = kernels.convolve(x, weight, None, None, geometry)
        if bias is not None:
            y += bias[:, None, None]
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The gradients of x, weight and bias."""
        x, weight, bias = ctx.saved_tensors
        geometry: Geometry = ctx.geometry
        if torch.is_grad_enabled():
            return *formula_gradients(geometry.convolve, (x, weight, bias), gradient), None
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        bias_gradient = None if bias is None else rows(gradient).sum(0)
        if is_watched(gradient, x, weight):
            return *geometry.convolve_backward(gradient, x, weight), bias_gradient, None
        x_gradient, weight_gradient, _, _ = kernels.convolve_backward(gradient, x, None, weight, None, None, geometry)
        return x_gradient, weight_gradient, bias_gradient, None
