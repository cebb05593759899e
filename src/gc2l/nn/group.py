"""Group convolution (GC): the block diagonal of the standard convolution."""

from typing import Any

from torch import Tensor, nn

from gc2l.nn import kernels
from gc2l.nn.algorithms import check_algorithm, choose_group
from gc2l.nn.blocks import block_diagonal
from gc2l.nn.convolution import (
    Convolution,
    check_groups,
    convolve,
    convolve_dense,
    kaiming_normal,
    standard_convolution,
)
from gc2l.nn.direct import DirectGroupConv
from gc2l.nn.geometry import is_channels_last, padded_input
from gc2l.nn.pointwise import ChannelsLast, GroupedProduct, pointwise_input
from gc2l.nn.traced import autocast, wants_formula


class GroupConv2d(nn.Conv2d):
    """Group convolution, y_j = A_j x_j for the groups j = 1..n (eq. 2.9-2.12); with groups = 1 the standard one.

    It differs from `nn.Conv2d(groups=n)` in its initial weights (Kaiming normal with the fan_out of one group,
    zero bias), in its error messages, and in knowing the standard convolution that it equals.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.
        groups: n, a divisor of c_in and c_out.
        algorithm: how the same numbers are computed. "grouped": the framework's kernel. "direct": a compiled one of our
            own for 3 x 3 (`kernels.convolve`), where it serves. "channels_last": the framework's in that memory format,
            with copies before and after. "folded": as the standard convolution. "matmul": for 1 x 1
            kernels, one matrix product for each group. "auto" takes what was measured to be the fastest. It can be
            changed at any time, and is no part of the state.

    Shape:
        input (N, c_in, H, W) or (c_in, H, W), output (N, c_out, H', W') or (c_out, H', W'), as `torch.nn.Conv2d`.

    Parameters: weight (c_out, c_in/n, k_h, k_w), that is k_h k_w c_in c_out / n numbers, and bias (c_out).

    Raises:
        ValueError: groups < 1, groups does not divide both channel counts, or an unknown algorithm.
    """

    ALGORITHMS: tuple[str, ...] = ("auto", "grouped", "direct", "channels_last", "folded", "matmul")

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
        check_algorithm(algorithm, self.ALGORITHMS)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,  # type: ignore[arg-type]
            device,
            dtype,
        )
        self.algorithm = algorithm

    def reset_parameters(self) -> None:
        """Kaiming normal over one group's filters (fan_out = k_h k_w c_out / n), bias zero."""
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x (N, c_in, H, W) or (c_in, H, W)."""
        return group_convolution(self, x, self.chosen_algorithm(x))

    def chosen_algorithm(self, x: Tensor) -> str:
        """The algorithm that computes the layer for x: the prescribed one, or what "auto" takes."""
        return choose_group(self, x) if self.algorithm == "auto" else self.algorithm

    def extra_repr(self) -> str:
        """Conv2d's line, and the algorithm if one is prescribed."""
        return super().extra_repr() + ("" if self.algorithm == "auto" else f", algorithm={self.algorithm}")

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return block_diagonal(self.weight, self.groups)

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals, with weights of its own."""
        return standard_convolution(self, self.dense_weight(), self.bias)


def group_convolution(conv: nn.Conv2d | Convolution, x: Tensor, algorithm: str) -> Tensor:
    """y_j = A_j x_j for the weight, bias and geometry of `conv`, by an algorithm of `GroupConv2d`."""
    if algorithm == "folded":
        return convolve_dense(conv, x, block_diagonal(conv.weight, conv.groups), conv.bias)
    if algorithm == "channels_last" and x.dim() == 4 and not is_channels_last(x) and not wants_formula():
        return convolve(conv, ChannelsLast.apply(x, 1, 1), conv.weight, conv.bias, conv.groups).contiguous()
    if algorithm == "matmul" and conv.kernel_size != (1, 1):
        raise ValueError(f"algorithm='matmul' of a group convolution needs kernel_size=1, not {conv.kernel_size}")
    if algorithm == "direct" and not wants_formula() and x.dim() == 4 and x.numel():
        padded, geometry = padded_input(conv, x)
        seen, weight, bias = autocast(padded, conv.weight, conv.bias)
        if kernels.convolve_whole(seen, weight, 0, geometry):
            return DirectGroupConv.apply(seen, weight, bias, geometry)
    if algorithm == "matmul" and not wants_formula() and x.dim() == 4 and x.numel():
        padded, geometry = padded_input(conv, x)
        seen = pointwise_input(padded, geometry)
        seen = seen if is_channels_last(seen) else ChannelsLast.apply(seen, 1, 1)
        y = GroupedProduct.apply(*autocast(seen, conv.weight, conv.bias), conv.groups)
        return y if is_channels_last(x) else y.contiguous()
    return convolve(conv, x, conv.weight, conv.bias, conv.groups)


def initialise(conv: nn.Conv2d | Convolution) -> None:
    """Kaiming normal over one group's filters (fan_out = k_h k_w c_out / n), bias zero."""
    k_h, k_w = conv.kernel_size
    kaiming_normal(conv.weight, k_h * k_w * conv.out_channels / conv.groups)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
