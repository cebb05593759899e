"""Fully learnable group convolution (FLGC; Wang et al., CVPR 2019)."""

import operator
from typing import Any, get_args

import torch
from torch import Tensor, nn

from gc2l.names import check_choice
from gc2l.nn.arguments import check_groups
from gc2l.nn.convolution import Convolution, padded_input, reset_group_weights, standard_convolution
from gc2l.ops import folded
from gc2l.variants import Assignment, Start


class LearnableGroupConv2d(Convolution):
    """Group convolution that learns which channels form a group: a dense weight times the mask T S^T.

    Each input channel belongs to the group with the largest of its n logits (`input_logits`, S), each output channel
    likewise (`output_logits`, T), and a weight counts where the two agree. The mask is hard in the forward pass;
    gradients pass straight through it to the softmax of the logits. Groups may become uneven, and empty.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.
        groups: n, any number from 1 on; it need not divide the channel counts.
        assignment: "learned", or "frozen": the logits stay as they start, are buffers in place of parameters, and have
            no gradient.
        start: "random" logits, or "aligned" ones, with which channel c belongs to group floor(c n / channels). Aligned
            logits are the random ones with the largest of each row moved to that group, so that a channel leaves its
            group as easily from either start. Aligned and frozen, with n dividing the channels, it is `GroupConv2d`.

    Shape:
        input (N, c_in, H, W) or (c_in, H, W), output (N, c_out, H', W') or (c_out, H', W'), as `torch.nn.Conv2d`.

    Parameters: weight (c_out, c_in, k_h, k_w), input_logits (c_in, n), output_logits (c_out, n), bias (c_out); the
    state has the same names whether the assignment is learned or frozen.
    Tables count the nominal k_h k_w c_in c_out / n weights that the mask leaves, see `nominal_parameter_count`.

    Raises:
        ValueError: groups < 1, an unknown assignment or start.
    """

    input_logits: Tensor
    output_logits: Tensor

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
        assignment: Assignment = "learned",
        start: Start = "random",
    ) -> None:
        check_choice("assignment", assignment, get_args(Assignment))
        check_choice("start", start, get_args(Start))
        check_groups(in_channels, out_channels, groups, divisible=False)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            1,  # the weight is dense
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.groups = operator.index(groups)
        self.assignment = assignment
        self.start = start
        for name, channels in (("input_logits", in_channels), ("output_logits", out_channels)):
            logits = torch.empty(channels, groups, device=device, dtype=dtype)
            if assignment == "frozen":
                self.register_buffer(name, logits)
            else:
                self.register_parameter(name, nn.Parameter(logits))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming normal with the nominal fan_out k_h k_w c_out / n, bias zero, standard normal logits.

        If the start is aligned, the largest of each row changes places with that of the channel's group.
        """
        reset_group_weights(self)
        for logits in (self.input_logits, self.output_logits):
            nn.init.normal_(logits)
            if self.start == "aligned":
                _align(logits)

    def mask(self) -> Tensor:
        """The 0/1 mask T S^T (c_out, c_in), with straight-through gradients to the softmax of the logits."""
        return straight_through(self.output_logits) @ straight_through(self.input_logits).T

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to input (N, c_in, H, W) or (c_in, H, W)."""
        padded, geometry = padded_input(self, input)
        return folded.dense(padded, self.dense_weight(), self.bias, geometry)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        return self.weight * self.mask()[:, :, None, None]

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals now, with weights of its own."""
        return standard_convolution(self, self.dense_weight(), self.bias)

    def nominal_parameter_count(self) -> int:
        """The count that the paper's tables give: k_h k_w c_in c_out / n, rounded, and the bias."""
        biases = 0 if self.bias is None else self.bias.numel()
        return round(self.weight.numel() / self.groups) + biases

    def extra_repr(self) -> str:
        """Conv2d's line, and the assignment and the start where they are not the usual."""
        assignment = "" if self.assignment == "learned" else f", assignment={self.assignment}"
        return f"{super().extra_repr()}{assignment}" + ("" if self.start == "random" else f", start={self.start}")


@torch.no_grad()
def _align(logits: Tensor) -> None:
    channels, groups = logits.shape
    rows = torch.arange(channels, device=logits.device)
    wanted, largest = rows * groups // channels, logits.argmax(dim=1)
    first, second = logits[rows, wanted], logits[rows, largest]
    logits[rows, largest] = first
    logits[rows, wanted] = second


def straight_through(logits: Tensor) -> Tensor:
    """One-hot rows (channels, n) of the largest logit; the gradient is that of the softmax."""
    soft = logits.softmax(dim=1)
    # `F.one_hot` looks at the values, which tracers do not have; distributed tensors do not mix with an `arange`.
    hard = torch.zeros_like(soft).scatter(1, soft.argmax(dim=1, keepdim=True), 1)
    return hard + (soft - soft.detach())
