"""A grouped convolution for inference as plain tensors and settings, which every compiled layer comes down to."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from gc2l.ops.geometry import Geometry

TENSORS = ("weight", "restriction", "coarse", "bias", "inputs", "outputs")

PADDING_MODES = ("constant", "reflect", "replicate", "circular")


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupedConvolution:
    """y = A x + C r x + bias, then ReLU if wanted, with groups of equal size; float32, on the CPU.

    Attributes:
        weight: A (n K, c, k_h, k_w), K filters over c channels in each of the n groups.
        restriction: r (n m, c, k_h, k_w), or None without a coarse level.
        coarse: C (n K, n m), or None.
        bias: (c_out), in the order of the output, or None.
        inputs: (n c) which input channel each group's channels are, -1 for one of zeros; None: as they come.
        outputs: (c_out) which row of A and C gives each output channel; None: as they come.
        geometry: stride, padding by zeros, dilation, n.
        padding: widths (left, right, top, bottom) that are padded before, in `padding_mode`, as `F.pad` takes them.
        relu: whether negative outputs become zero.

    Raises:
        ValueError: sizes that do not belong together, which the C library would follow beyond its memory.
    """

    weight: Tensor
    restriction: Tensor | None = None
    coarse: Tensor | None = None
    bias: Tensor | None = None
    inputs: Tensor | None = None
    outputs: Tensor | None = None
    geometry: Geometry
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    padding_mode: str = "constant"
    relu: bool = False

    def __post_init__(self) -> None:
        n, (rows, channels, *kernel), m = self.geometry.groups, self.weight.shape, 0
        if self.restriction is not None:
            m = len(self.restriction)
        _check_geometry(self.geometry)
        if len(self.padding) != 4 or not _whole(self.padding, 0) or self.padding_mode not in PADDING_MODES:
            raise ValueError(f"padding={self.padding} in the mode {self.padding_mode!r} is none")
        if type(self.relu) is not bool:
            raise ValueError(f"relu={self.relu!r} must be True or False")
        if len(kernel) != 2 or 0 in self.weight.shape or rows % n or m % n:
            raise ValueError(f"n={n} groups cannot have filters {tuple(self.weight.shape)} and {m} coarse channels")
        if (self.restriction is None) != (self.coarse is None):
            raise ValueError("restriction and coarse belong together")
        for name, lowest, above in (("inputs", -1, None), ("outputs", 0, rows)):
            if (value := getattr(self, name)) is not None:
                _check_channels(name, value, lowest, above)
        expected = {
            "restriction": (m, channels, *kernel),
            "coarse": (rows, m),
            "bias": (self.c_out,),
            "inputs": (n * channels,),
        }
        for name, value in self.tensors().items():
            shape = expected.get(name, tuple(value.shape))
            dtype = torch.long if name in ("inputs", "outputs") else torch.float32
            if tuple(value.shape) != shape or value.dtype != dtype:
                raise ValueError(f"{name} is {value.dtype} of shape {tuple(value.shape)}, must be {dtype} of {shape}")

    @property
    def c_in(self) -> int:
        """Channels of the input."""
        own = self.weight.shape[1] * self.geometry.groups
        return own if self.inputs is None else int(self.inputs.max()) + 1

    @property
    def c_out(self) -> int:
        """Channels of the output."""
        return len(self.weight if self.outputs is None else self.outputs)

    @property
    def kernel(self) -> tuple[int, int]:
        """(k_h, k_w)."""
        return self.weight.shape[2], self.weight.shape[3]

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H', W') for a padded input of `size` (H, W).

        Raises:
            ValueError: an input smaller than the kernel.
        """
        out = self.geometry.output_size(size, self.kernel)
        if min(out) < 1:
            pixels = f"{size[0]} x {size[1]} pixels"
            raise ValueError(f"an input of {pixels} is smaller than the kernel {self.kernel} with {self.geometry}")
        return out

    def tensors(self) -> dict[str, Tensor]:
        """Those that there are, by name."""
        return {name: value for name in TENSORS if (value := getattr(self, name)) is not None}

    def padded(self, x: Tensor) -> Tensor:
        """x with the padding that `geometry` does not have."""
        return F.pad(x, self.padding, self.padding_mode) if any(self.padding) else x

    def selected(self, x: Tensor) -> Tensor:
        """The channels of x (N, c_in, H, W) in the order of the groups, (N, n c, H, W)."""
        if self.inputs is None:
            return x
        return F.pad(x, (0, 0, 0, 0, 0, 1))[:, self.inputs]  # the last channel, -1, is zero

    def filters(self) -> Tensor:
        """The filters of A and r by group, (n, K + m, c, k_h, k_w)."""
        parts = [self.weight] if self.restriction is None else [self.weight, self.restriction]
        return torch.cat([part.unflatten(0, (self.geometry.groups, -1)) for part in parts], 1)

    def with_relu(self) -> "GroupedConvolution":
        """The same with ReLU."""
        return replace(self, relu=True)

    def formula(self, x: Tensor) -> Tensor:
        """The same by the framework, in the type of x: what the compiled forms are compared with."""
        cast = {name: value.to(x.dtype) for name, value in self.tensors().items() if value.is_floating_point()}
        x = self.selected(self.padded(x))
        y = self.geometry.convolve(x, cast["weight"], None)
        if "coarse" in cast:
            z = self.geometry.convolve(x, cast["restriction"], None)
            y = y + F.conv2d(z, cast["coarse"][:, :, None, None])
        if self.outputs is not None:
            y = y[:, self.outputs]
        if "bias" in cast:
            y = y + cast["bias"][:, None, None]
        return y.relu() if self.relu else y


def _check_geometry(geometry: Geometry) -> None:
    pairs = {name: getattr(geometry, name) for name in ("stride", "padding", "dilation")}
    for name, pair in {**pairs, "groups": (geometry.groups,) * 2}.items():
        lowest = 0 if name == "padding" else 1
        if len(pair) != 2 or not _whole(pair, lowest):
            raise ValueError(f"{name}={pair} must be whole numbers, at least {lowest}")


def _whole(numbers: tuple[object, ...], lowest: int) -> bool:
    return all(type(number) is int and number >= lowest for number in numbers)


def _check_channels(name: str, channels: Tensor, lowest: int, above: int | None) -> None:
    if channels.dim() != 1 or not len(channels) or channels.min() < lowest or channels.max() < 0:
        raise ValueError(f"{name}={channels} must be channels from {lowest} on")
    if above is not None and channels.max() >= above:
        raise ValueError(f"{name}={channels} must be below {above}")
