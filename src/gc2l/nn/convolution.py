"""What the convolutions share: the check of their groups, padding, and the standard convolution they equal."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from gc2l.nn.geometry import padded_input
from gc2l.nn.pointwise import dense_product


def check_groups(in_channels: int, out_channels: int, groups: int, *, divisible: bool = True) -> None:
    """Check a number of groups against the channel counts.

    Raises:
        ValueError: groups < 1, or, where `divisible`, a channel count that `groups` does not divide.
    """
    if groups < 1:
        raise ValueError(f"groups={groups} must be at least 1")
    if not divisible:
        return
    common = math.gcd(in_channels, out_channels)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(
                f"{name}={channels} is not divisible by groups={groups}; with in_channels={in_channels} and "
                f"out_channels={out_channels} groups can be {_listed_divisors(common)}"
            )


def convolve(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """Convolve x with the stride, padding and dilation of `conv`, but with the weight, bias and groups given."""
    padded, geometry = padded_input(conv, x)
    return geometry.convolve(padded, weight, bias, groups)


def convolve_dense(conv: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same as a standard convolution."""
    padded, geometry = padded_input(conv, x)
    return dense_product(padded, weight, bias, geometry)


def standard_convolution(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """The standard convolution with the geometry of `conv` and copies of the given dense weight and bias."""
    dense = skip_init(
        nn.Conv2d,
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        bias=bias is not None,
        padding_mode=conv.padding_mode,
        device=weight.device,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        dense.weight.copy_(weight)
        if bias is not None:
            dense.bias.copy_(bias)
    return dense.train(conv.training)


def kaiming_normal(weight: Tensor, fan_out: float) -> None:
    """Fill `weight` with normal numbers of variance 2 / fan_out (He et al. 2015, before a ReLU).

    `torch.nn.init` takes fan_out from the tensor's shape, which for grouped weights is n times too large.
    """
    nn.init.normal_(weight, std=math.sqrt(2 / fan_out))


def _listed_divisors(number: int) -> str:
    return ", ".join(str(divisor) for divisor in range(1, number + 1) if number % divisor == 0)
