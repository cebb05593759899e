"""What the convolutions share: settings, padding, initial weights, and the standard convolution that they equal."""

import math
import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from gc2l.nn.arguments import pair, window
from gc2l.ops.geometry import Geometry

SETTINGS = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "transposed", "output_padding",
    "groups", "padding_mode", "_reversed_padding_repeated_twice",
)  # fmt: skip
"""The attributes of `nn.Conv2d` that are no tensors, which networks read."""


class Convolution(nn.Module):
    """A linear layer with the arguments and attributes of `nn.Conv2d` that computes something else.

    It is no `nn.Conv2d`, because its output is not `conv2d(x, weight, bias)`: what looks for convolutions by their
    class, to fuse, prune, quantise or initialise them by `weight` and `bias` alone, must not find it. For the same
    reason `weight` and `bias` cannot be replaced by assignment in evaluation mode, which is how batch norms are fused.

    Args: as `torch.nn.Conv2d`. `weight` (c_out, c_in/n, k_h, k_w) and `bias` (c_out) are left uninitialised.
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: str | tuple[int, int]
    dilation: tuple[int, int]
    transposed: bool
    output_padding: tuple[int, int]
    groups: int
    padding_mode: str
    _reversed_padding_repeated_twice: list[int]
    weight: nn.Parameter
    bias: nn.Parameter | None

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
        super().__init__()
        # PyTorch checks the other arguments and says what the attributes are.
        conv = nn.Conv2d(
            operator.index(in_channels),
            operator.index(out_channels),
            **window(kernel_size, stride, padding, dilation),
            groups=operator.index(groups),
            bias=bias,
            padding_mode=padding_mode,  # type: ignore[arg-type]
            device="meta",
        )
        for name in SETTINGS:
            setattr(self, name, getattr(conv, name))
        self.weight = nn.Parameter(torch.empty(conv.weight.shape, device=device, dtype=dtype))
        values = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", values)

    ROWS: tuple[str, ...] = ("weight",)
    """The parameters that have one row for each output channel, beside the bias."""

    def in_row_order(self, values: Tensor) -> Tensor:
        """Values (c_out, ...) of the output channels in the order of the rows of `ROWS` and of the bias."""
        return values

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable."""
        raise NotImplementedError(f"{type(self).__name__} has no dense_weight")

    def dense_bias(self) -> Tensor | None:
        """The bias (c_out) of the standard convolution that this layer equals, differentiable."""
        return self.bias

    def to_dense(self) -> nn.Conv2d:
        """The standard convolution that this layer equals, with weights of its own."""
        return standard_convolution(self, self.dense_weight(), self.dense_bias())

    def scale_weights(self, factor: Tensor) -> None:
        """Multiply the dense weight by `factor`; the bias stays."""
        with torch.no_grad():
            self.weight.mul_(factor)

    def set_nearest(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the weights whose dense weight comes nearest to `weight` in the Frobenius norm, and the bias.

        Args:
            weight: (c_out, c_in, k_h, k_w) of a standard convolution.
            bias: (c_out), None for a layer without.

        Raises:
            NotImplementedError: a layer for which there is no closed form.
            ValueError: a weight or bias of another shape.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed form of the nearest weights")

    def extra_repr(self) -> str:
        """Conv2d's line."""
        return nn.Conv2d.extra_repr(self)  # type: ignore[arg-type]

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Register a parameter, as assigning one to an attribute does.

        Raises:
            TypeError: in evaluation mode, for another `weight` or `bias` than the layer has.
        """
        if name in ("weight", "bias") and not self.training and name in self._parameters:
            raise TypeError(
                f"{name} of {type(self).__name__} cannot be replaced in evaluation mode: the layer is not "
                "conv2d(x, weight, bias), and fusing a batch norm into these two would give wrong outputs. Take "
                "gc2l.models.fuse_batch_norm, or fuse to_dense(), instead. "
                f"To change {name}, copy into it, load a state, or call train() before"
            )
        super().register_parameter(name, param)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        # A state is whole, so with assign=True it may replace `weight` and `bias`.
        training, self.training = self.training, True
        try:
            super()._load_from_state_dict(*arguments)
        finally:
            self.training = training


def check_dense(conv: nn.Conv2d | Convolution, weight: Tensor, bias: Tensor | None) -> None:
    """Check the shapes of a standard convolution's weight and bias for the channels and the kernel of `conv`.

    Raises:
        ValueError: another shape, which could be broadcast.
    """
    shape = (conv.out_channels, conv.in_channels, *conv.kernel_size)
    for name, value, right in (("weight", weight, shape), ("bias", bias, shape[:1])):
        if value is not None and value.shape != right:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; of this layer it must be {right}")


def has_hooks(module: nn.Module) -> bool:
    """Whether a call of `module` does more than the `forward` of its class, which what replaces it would lose."""
    names = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    # Tools that move weights or take times put a forward of their own on the object.
    return "forward" in vars(module) or any(getattr(module, hooks) for hooks in names)


def padding_widths(conv: nn.Conv2d | Convolution) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) of the padding that `conv` has now; networks change padding, stride and dilation.

    As in `nn.Conv2d` a padding other than of zeros stays that of the beginning.
    """
    padding: Any = conv.padding
    if conv.padding_mode != "zeros":
        left, right, top, bottom = conv._reversed_padding_repeated_twice
    elif isinstance(padding, str):
        total_h, total_w = (
            0 if padding == "valid" else dilation * (size - 1)
            for dilation, size in zip(pair(conv.dilation), conv.kernel_size, strict=True)
        )
        left, right, top, bottom = total_w // 2, total_w - total_w // 2, total_h // 2, total_h - total_h // 2
    else:
        top, left = bottom, right = pair(padding)
    return left, right, top, bottom


def geometry_of(conv: nn.Conv2d | Convolution) -> Geometry:
    """The settings of `conv`, with its padding also where `F.conv2d` cannot do it."""
    left, _, top, _ = padding_widths(conv)
    return Geometry(pair(conv.stride), (top, left), pair(conv.dilation), conv.groups)


def padded_input(conv: nn.Conv2d | Convolution, x: Tensor) -> tuple[Tensor, Geometry]:
    """x with the padding of `conv` that is not symmetric or not of zeros, and the settings that remain."""
    left, right, top, bottom = widths = padding_widths(conv)
    if conv.padding_mode == "zeros" and left == right and top == bottom:
        return x, geometry_of(conv)
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    return F.pad(x, widths, mode=mode), geometry_of(conv)._replace(padding=(0, 0))


def arguments_of(conv: nn.Conv2d | Convolution) -> dict[str, Any]:
    """The arguments of `nn.Conv2d` that a layer of the same geometry, device and type has, but channels and groups."""
    return {
        "kernel_size": conv.kernel_size,
        "stride": conv.stride,
        "padding": conv.padding,
        "dilation": conv.dilation,
        "bias": conv.bias is not None,
        "padding_mode": conv.padding_mode,
        "device": conv.weight.device,
        "dtype": conv.weight.dtype,
    }


def keep_padding(layer: nn.Conv2d | Convolution, conv: nn.Conv2d | Convolution) -> None:
    """Give `layer`, made with `arguments_of(conv)`, the widths by which `conv` pads in other modes than zeros.

    They are those of the beginning, which the arguments do not tell once padding or dilation was changed.
    """
    layer._reversed_padding_repeated_twice = conv._reversed_padding_repeated_twice


@torch.no_grad()
def fill(layer: nn.Conv2d | Convolution, conv: nn.Conv2d | Convolution, weight: Tensor, bias: Tensor | None) -> None:
    """Copy weight and bias to `layer`, made with `arguments_of(conv)`, and the padding that these do not tell."""
    keep_padding(layer, conv)
    layer.weight.copy_(weight)
    if layer.bias is not None and bias is not None:
        layer.bias.copy_(bias)


def standard_convolution(conv: nn.Conv2d | Convolution, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """The standard convolution with the geometry of `conv` and copies of the given dense weight and bias."""
    arguments = arguments_of(conv) | {"bias": bias is not None, "device": weight.device, "dtype": weight.dtype}
    dense = skip_init(nn.Conv2d, conv.in_channels, conv.out_channels, **arguments)
    fill(dense, conv, weight, bias)
    return dense.train(conv.training)


def kaiming_normal(weight: Tensor, fan_out: float) -> None:
    """Fill `weight` with normal numbers of variance 2 / fan_out (He et al. 2015, before a ReLU).

    `torch.nn.init` takes fan_out from the tensor's shape, which for grouped weights is n times too large.
    """
    nn.init.normal_(weight, std=math.sqrt(2 / fan_out))


def reset_group_weights(conv: nn.Conv2d | Convolution) -> None:
    """Kaiming normal over one group's filters (fan_out = k_h k_w c_out / n), bias zero."""
    k_h, k_w = conv.kernel_size
    kaiming_normal(conv.weight, k_h * k_w * conv.out_channels / conv.groups)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
