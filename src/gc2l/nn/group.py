"""Group convolution (GC): the block diagonal of the standard convolution."""

from typing import Any

import torch
from torch import Tensor, nn

from gc2l.nn.convolution import check_groups, kaiming_normal, standard_convolution


class GroupConv2d(nn.Conv2d):
    """Group convolution, y_j = A_j x_j for the groups j = 1..n (eq. 2.9-2.12); with groups = 1 the standard one.

    It differs from `nn.Conv2d(groups=n)` in its initial weights (Kaiming normal with the fan_out of one group,
    zero bias), in its error messages, and in knowing the standard convolution that it equals.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.
        groups: n, a divisor of c_in and c_out.

    Shape:
        input (N, c_in, H, W) or (c_in, H, W), output (N, c_out, H', W') or (c_out, H', W'), as `torch.nn.Conv2d`.

    Parameters: weight (c_out, c_in/n, k_h, k_w), that is k_h k_w c_in c_out / n numbers, and bias (c_out).

    Raises:
        ValueError: groups < 1, or groups does not divide both channel counts.
    """

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
    ) -> None:
        check_groups(in_channels, out_channels, groups)
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

    def reset_parameters(self) -> None:
        """Kaiming normal over one group's filters (fan_out = k_h k_w c_out / n), bias zero."""
        k_h, k_w = self.kernel_size
        kaiming_normal(self.weight, k_h * k_w * self.out_channels / self.groups)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        blocks = self.weight.unflatten(0, (self.groups, -1))  # (n, c_out/n, c_in/n, k_h, k_w)
        identity = torch.eye(self.groups, device=blocks.device, dtype=blocks.dtype)
        diagonal = torch.einsum("noihw,nj->nojihw", blocks, identity)  # (n, c_out/n, n, c_in/n, k_h, k_w)
        return diagonal.flatten(2, 3).flatten(0, 1)

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals, with weights of its own."""
        return standard_convolution(self, self.dense_weight(), self.bias)
