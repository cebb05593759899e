"""Two-level group convolution (GC-2L): group convolution plus a coarse level of a few channels per group."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from gc2l.nn.convolution import (
    Convolution,
    check_groups,
    geometry_of,
    kaiming_normal,
    padded_input,
    standard_convolution,
)
from gc2l.nn.group import GroupConv2d
from gc2l.ops.choose import choose_two_level
from gc2l.ops.functional import TWO_LEVEL_WAYS, check_way, two_level_conv
from gc2l.ops.weights import folded_weight


def check_coarse_channels(coarse_channels: int) -> None:
    """Check the number of coarse channels per group.

    Raises:
        ValueError: coarse_channels < 1.
    """
    if coarse_channels < 1:
        raise ValueError(
            f"coarse_channels={coarse_channels} must be at least 1; without a coarse level use GroupConv2d"
        )


class TwoLevelGroupConv2d(Convolution):
    """Two-level group convolution, y_j = A_j x_j + C_j z with z_i = r_i x_i (eq. 3.5).

    Each group i hands m channels z_i, its representatives, to the coarse level; the 1 x 1 convolution C carries
    them to every output channel. All of it is linear. With C = 0 the layer is exactly `GroupConv2d`.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.
        groups: n, a divisor of c_in and c_out.
        coarse_channels: m, representatives per group; the paper has 1.
        algorithm: how the same numbers are computed, one of `ALGORITHMS`; it can be changed at any time, and is no part
            of the state. "auto" takes what was measured to be the fastest (`gc2l.ops.choose`). "separate": the equation
            as it stands. "direct": all of it in one compiled kernel where that can be used, else as "fused". "fused":
            A_j and r_j as one group convolution (the paper's). "dense_restriction": r as one standard convolution in
            the forward pass. "matmul": r as a matrix product, and A too when the kernel is 1 x 1. "folded": all as the
            standard convolution. "triton": all in Triton kernels on a CUDA card (`gc2l.ops.cuda`), whose speed nobody
            has measured yet. Export and the transforms of `torch.func` always get a plain formula; compilers, too, but
            for the operators of "triton".

    Shape:
        input (N, c_in, H, W) or (c_in, H, W), output (N, c_out, H', W') or (c_out, H', W'), as `torch.nn.Conv2d`.

    Parameters: weight A (c_out, c_in/n, k_h, k_w), restriction_weight r (n m, c_in/n, k_h, k_w), coarse_weight C
    (c_out, n m, 1, 1), bias (c_out): k_h k_w c_in c_out / n + m k_h k_w c_in + m n c_out numbers without bias.

    Raises:
        ValueError: groups < 1, groups does not divide both channel counts, coarse_channels < 1, or an
            unknown algorithm.
    """

    ALGORITHMS = ("auto", *TWO_LEVEL_WAYS)

    restriction_weight: nn.Parameter
    coarse_weight: nn.Parameter

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
        coarse_channels: int = 1,
        algorithm: str = "auto",
    ) -> None:
        check_coarse_channels(coarse_channels)
        check_groups(in_channels, out_channels, groups)
        check_way(algorithm, TWO_LEVEL_WAYS)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.algorithm = algorithm
        self.coarse_channels = coarse_channels
        coarse = groups * coarse_channels
        like = {"device": device, "dtype": dtype}
        self.restriction_weight = nn.Parameter(torch.empty(coarse, in_channels // groups, *self.kernel_size, **like))
        self.coarse_weight = nn.Parameter(torch.empty(out_channels, coarse, 1, 1, **like))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming normal over the fused block of c_out/n + m filters and over C, bias zero.

        With fan_in in place of fan_out the coarse term, of rank n m only, would start out larger than the group
        convolution, and training suffers.
        """
        k_h, k_w = self.kernel_size
        fused_fan_out = k_h * k_w * (self.out_channels // self.groups + self.coarse_channels)
        # Drawn three times, as when the committed records were made: a seed still gives their initial weights.
        for _ in range(3):
            kaiming_normal(self.weight, fused_fan_out)
        kaiming_normal(self.restriction_weight, fused_fan_out)
        kaiming_normal(self.coarse_weight, self.out_channels)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x (N, c_in, H, W) or (c_in, H, W)."""
        padded, geometry = padded_input(self, x)
        return two_level_conv(
            padded,
            self.weight,  # A
            self.restriction_weight,  # r
            self.coarse_weight,  # C
            self.bias,
            geometry,
            self.chosen_algorithm(x),
        )

    def chosen_algorithm(self, x: Tensor) -> str:
        """The algorithm that computes the layer for x: the prescribed one, or what "auto" takes."""
        if self.algorithm != "auto":
            return self.algorithm
        return choose_two_level(x, self.weight, geometry_of(self), self.groups * self.coarse_channels)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable.

        Its blocks are dense[j, i] = delta_ij A_j + C_j[:, i] r_i.
        """
        return folded_weight(self.weight, self.restriction_weight, self.coarse_weight, self.groups)

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals, with weights of its own."""
        return standard_convolution(self, self.dense_weight(), self.bias)

    @classmethod
    def from_group_conv(cls, conv: nn.Conv2d, *, coarse_channels: int = 1) -> Self:
        """The layer with the weights of a group convolution and C = 0: the same function, with a level to learn.

        Args:
            conv: `GroupConv2d` or `nn.Conv2d` with any number of groups.
            coarse_channels: m.

        Raises:
            TypeError: another kind of convolution; its weights alone do not say what it computes.
            ValueError: coarse_channels < 1.
        """
        if type(conv) not in (nn.Conv2d, GroupConv2d):
            raise TypeError(f"conv is a {type(conv).__name__}; it must be torch.nn.Conv2d or GroupConv2d")
        layer = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            conv.bias is not None,
            conv.padding_mode,
            conv.weight.device,
            conv.weight.dtype,
            coarse_channels=coarse_channels,
        )
        layer.load_state_dict(conv.state_dict(), strict=False)
        nn.init.zeros_(layer.coarse_weight)
        return layer.train(conv.training)

    def group_conv(self) -> GroupConv2d:
        """The group convolution that is left when the coarse level is dropped (C = 0), with weights of its own."""
        conv = GroupConv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.bias is not None,
            self.padding_mode,
            self.weight.device,
            self.weight.dtype,
        )
        fine = {name: value for name, value in self.state_dict().items() if name in ("weight", "bias")}
        conv.load_state_dict(fine)
        return conv.train(self.training)

    def extra_repr(self) -> str:
        """Conv2d's line with the algorithm, if one is prescribed, and the number of coarse channels."""
        algorithm = "" if self.algorithm == "auto" else f", algorithm={self.algorithm}"
        return f"{super().extra_repr()}{algorithm}, coarse_channels={self.coarse_channels}"
