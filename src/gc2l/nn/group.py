"""Group convolution (GC): the block diagonal of the standard convolution."""

import operator
from typing import Any

import torch
from torch import Tensor, nn

from gc2l.nn.arguments import check_groups, window
from gc2l.nn.convolution import check_dense, geometry_of, padded_input, reset_group_weights, standard_convolution
from gc2l.ops.choose import choose_group
from gc2l.ops.functional import GROUP_WAYS, check_way, group_conv
from gc2l.ops.weights import block_diagonal, diagonal_blocks


class GroupConv2d(nn.Conv2d):
    """Group convolution, y_j = A_j x_j for the groups j = 1..n (eq. 2.9-2.12); with groups = 1 the standard one.

    It differs from `nn.Conv2d(groups=n)` in its initial weights (Kaiming normal with the fan_out of one group,
    zero bias), in its error messages, and in knowing the standard convolution that it equals. It does not call
    `_conv_forward`: a subclass that computes something else overrides `forward`.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.
        groups: n, a divisor of c_in and c_out.
        algorithm: how the same numbers are computed, one of `ALGORITHMS`; it can be changed at any time, and is no part
            of the state. "auto" takes what was measured to be the fastest (`gc2l.ops.choose`). "grouped": by the
            framework's kernel. "direct": by a compiled kernel for 3 x 3, where it can be used. "channels_last": by the
            framework's kernel in that memory format, with copies before and after. "folded": as the standard
            convolution. "matmul": one matrix product for each group, for 1 x 1 only. "triton": by Triton kernels on a
            CUDA card (`gc2l.ops.cuda`), whose speed nobody has measured yet.

    Shape:
        input (N, c_in, H, W) or (c_in, H, W), output (N, c_out, H', W') or (c_out, H', W'), as `torch.nn.Conv2d`.

    Parameters: weight (c_out, c_in/n, k_h, k_w), that is k_h k_w c_in c_out / n numbers, and bias (c_out).

    Raises:
        ValueError: groups < 1, groups does not divide both channel counts, or an unknown algorithm (also when it is
            changed later and the layer is applied).
    """

    ALGORITHMS = ("auto", *GROUP_WAYS)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        algorithm: str = "auto",
    ) -> None:
        check_groups(in_channels, out_channels, groups)
        check_way(algorithm, GROUP_WAYS)
        super().__init__(
            operator.index(in_channels),
            operator.index(out_channels),
            **window(kernel_size, stride, padding, dilation),
            groups=operator.index(groups),
            bias=bias,
            padding_mode=padding_mode,  # type: ignore[arg-type]
            device=device,
            dtype=dtype,
        )
        self.algorithm = algorithm

    def reset_parameters(self) -> None:
        """Kaiming normal over one group's filters (fan_out = k_h k_w c_out / n), bias zero."""
        reset_group_weights(self)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to input (N, c_in, H, W) or (c_in, H, W)."""
        padded, geometry = padded_input(self, input)
        return group_conv(padded, self.weight, self.bias, geometry, self.chosen_algorithm(input))

    def chosen_algorithm(self, x: Tensor) -> str:
        """The algorithm that computes the layer for x: the prescribed one, or what "auto" takes."""
        check_way(self.algorithm, GROUP_WAYS)
        return choose_group(x, self.weight, geometry_of(self)) if self.algorithm == "auto" else self.algorithm

    def extra_repr(self) -> str:
        """Conv2d's line, and the algorithm if one is prescribed."""
        return super().extra_repr() + ("" if self.algorithm == "auto" else f", algorithm={self.algorithm}")

    def scale_weights(self, factor: Tensor) -> None:
        """Multiply the dense weight by `factor`; the bias stays."""
        with torch.no_grad():
            self.weight.mul_(factor)

    @torch.no_grad()
    def set_nearest(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the weights nearest to a dense `weight` (c_out, c_in, k_h, k_w): its diagonal blocks. And the bias.

        Raises:
            ValueError: a weight or bias of another shape.
        """
        check_dense(self, weight, bias)
        self.weight.copy_(diagonal_blocks(weight, self.groups))
        if bias is not None and self.bias is not None:
            self.bias.copy_(bias)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return block_diagonal(self.weight, self.groups)

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals, with weights of its own."""
        return standard_convolution(self, self.dense_weight(), self.bias)
