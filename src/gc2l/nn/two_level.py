"""Two-level group convolution (GC-2L): group convolution plus a coarse level of a few channels per group."""

from typing import Any, Self, get_args

import torch
from torch import Tensor, nn

from gc2l.names import check_choice
from gc2l.nn.arguments import check_groups, check_whole
from gc2l.nn.convolution import (
    Convolution,
    arguments_of,
    check_dense,
    fill,
    geometry_of,
    has_hooks,
    kaiming_normal,
    padded_input,
)
from gc2l.nn.group import GroupConv2d
from gc2l.ops import folded, reference
from gc2l.ops.choose import choose_two_level
from gc2l.ops.functional import TWO_LEVEL_WAYS, check_way, two_level_conv
from gc2l.ops.nearest import nearest_coarse_weight, nearest_two_level
from gc2l.ops.weights import channel_means, diagonal_blocks, folded_weight
from gc2l.ops.windows import check_overlap, extended_groups, shared_channels, spread
from gc2l.variants import CoarseStart, Restriction, check_restriction

OVERLAPPING_WAYS = ("separate", "folded")
"""The algorithms of a layer with an overlap."""


class TwoLevelGroupConv2d(Convolution):
    """Two-level group convolution, y_j = A_j x_j + C_j z with z_i = r_i x_i (eq. 3.5).

    Each group i hands m channels z_i, its representatives, to the coarse level; the 1 x 1 convolution C carries
    them to every output channel. All of it is linear. With C = 0 the layer is exactly `GroupConv2d`.

    With an overlap the blocks A_j, which are those of a block Jacobi method, become those of an overlapping Schwarz
    method: y_j = A_j x_[j] + C_j z, where x_[j] is x_j together with the d = floor(overlap * c_in/n) channels before
    and the d after it, cyclically modulo c_in. The coarse level stays, z_i = r_i x_i.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.
        groups: n, a divisor of c_in and c_out.
        coarse_channels: m, representatives per group; the paper has 1.
        overlap: d as a share of a group's channels; 0 is the paper's layer. Other values have the algorithms "auto",
            "separate" and "folded" only.
        coarse_start: how r and C start, as normal numbers of variance 2 / fan. "fan_out" (the default) counts the
            filters of the fused block and the rows of C, "fan_in" what one number of z and of C z sums over. "zero" has
            C = 0 and r as "fan_out": the layer starts as a group convolution.
        restriction: "learned", or "mean": z_i is the mean of the channels of group i at the kernel's middle. r is then
            a buffer that is no part of the state, and m is 1, as further means would be the same. After `to_empty` or
            `skip_init` it is set by `load_state_dict` or `reset_parameters`.
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

    Parameters: weight A (c_out, c_in/n + 2 d, k_h, k_w), restriction_weight r (n m, c_in/n, k_h, k_w), coarse_weight C
    (c_out, n m, 1, 1), bias (c_out): k_h k_w (c_in/n + 2 d) c_out + m k_h k_w c_in + m n c_out numbers without bias.
    With restriction="mean" r is none of them.

    Raises:
        ValueError: groups < 1, groups does not divide both channel counts, coarse_channels < 1, an overlap outside
            [0, 1) or so large that a group would read a channel twice, an unknown coarse_start or restriction, a mean
            with coarse_channels > 1, or an algorithm that is unknown or not there with an overlap (also when it is
            changed later and the layer is applied).
    """

    ALGORITHMS = ("auto", *TWO_LEVEL_WAYS)

    ROWS = ("weight", "coarse_weight")

    restriction_weight: Tensor
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
        overlap: float = 0.0,
        coarse_start: CoarseStart = "fan_out",
        restriction: Restriction = "learned",
        algorithm: str = "auto",
    ) -> None:
        check_whole(coarse_channels=coarse_channels)
        if coarse_channels < 1:
            raise ValueError(
                f"coarse_channels={coarse_channels} must be at least 1; without a coarse level use GroupConv2d"
            )
        check_choice("coarse_start", coarse_start, get_args(CoarseStart))
        check_restriction(restriction, coarse_channels)
        check_overlap(overlap)
        check_groups(in_channels, out_channels, groups)
        check_way(algorithm, OVERLAPPING_WAYS if overlap else TWO_LEVEL_WAYS)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.algorithm = algorithm
        self.coarse_channels = int(coarse_channels)
        self.overlap = overlap
        self.coarse_start = coarse_start
        self.restriction = restriction
        coarse = groups * coarse_channels
        like = {"device": device, "dtype": dtype}
        if self.halo:
            self.weight = nn.Parameter(torch.empty(out_channels, self._extended(), *self.kernel_size, **like))
        filters = torch.empty(coarse, in_channels // groups, *self.kernel_size, **like)
        if restriction == "mean":
            self.register_buffer("restriction_weight", filters, persistent=False)
        else:
            self.restriction_weight = nn.Parameter(filters)
        self.coarse_weight = nn.Parameter(torch.empty(out_channels, coarse, 1, 1, **like))
        self.reset_parameters()

    @property
    def halo(self) -> int:
        """d, the channels on either side that a group reads beyond its own."""
        return shared_channels(self.overlap, self.in_channels // self.groups)

    def _extended(self) -> int:
        own = self.in_channels // self.groups
        if own + 2 * self.halo > self.in_channels:
            raise ValueError(
                f"overlap={self.overlap} with groups={self.groups} and in_channels={self.in_channels}: {own} channels "
                f"and {self.halo} on each side are more than there are; overlap can be at most {(self.groups - 1) / 2}"
            )
        return own + 2 * self.halo

    def reset_parameters(self) -> None:
        """Kaiming normal over the fused block of c_out/n + m filters and over C, bias zero.

        `coarse_start` and `restriction` change this for r and C.
        With an overlap an input channel reaches (1 + 2 d n / c_in) c_out/n outputs of the blocks in place of c_out/n.
        With "fan_in" the coarse term, of rank n m only, starts out larger than the group convolution.
        """
        k_h, k_w = self.kernel_size
        reached = self.weight.shape[1] * self.out_channels / self.in_channels
        fused_fan_out = k_h * k_w * (reached + self.coarse_channels)
        # Drawn three times, as when the committed records were made: a seed still gives their initial weights.
        for _ in range(3):
            kaiming_normal(self.weight, fused_fan_out)
        if self.coarse_start == "fan_in":
            kaiming_normal(self.restriction_weight, k_h * k_w * self.in_channels / self.groups)
            kaiming_normal(self.coarse_weight, self.groups * self.coarse_channels)
        else:
            kaiming_normal(self.restriction_weight, fused_fan_out)
            kaiming_normal(self.coarse_weight, self.out_channels)
        if self.restriction == "mean":
            self.restriction_weight.copy_(channel_means(self.restriction_weight))
        if self.coarse_start == "zero":
            nn.init.zeros_(self.coarse_weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to input (N, c_in, H, W) or (c_in, H, W)."""
        padded, geometry = padded_input(self, input)
        if self.halo:
            if self.chosen_algorithm(input) == "folded":
                return folded.dense(padded, self._folded_weight(), self.bias, geometry)
            return reference.overlapping_two_level(
                padded, self.weight, self.restriction_weight, self.coarse_weight, self.bias, geometry
            )
        return two_level_conv(
            padded,
            self.weight,  # A
            self.restriction_weight,  # r
            self.coarse_weight,  # C
            self.bias,
            geometry,
            self.chosen_algorithm(input),
        )

    def chosen_algorithm(self, x: Tensor) -> str:
        """The algorithm that computes the layer for x: the prescribed one, or what "auto" takes."""
        check_way(self.algorithm, OVERLAPPING_WAYS if self.halo else TWO_LEVEL_WAYS)
        if self.algorithm != "auto":
            return self.algorithm
        if self.halo:
            return "separate"
        return choose_two_level(x, self.weight, geometry_of(self), self.groups * self.coarse_channels)

    @torch.no_grad()
    def scale_weights(self, factor: Tensor) -> None:
        """Multiply the dense weight by `factor`: A and r, since C acts on what r gives, or C; the bias stays."""
        self.weight.mul_(factor)
        (self.coarse_weight if self.restriction == "mean" else self.restriction_weight).mul_(factor)

    @torch.no_grad()
    def set_nearest(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the weights nearest to a dense `weight` (c_out, c_in, k_h, k_w), see `gc2l.ops.nearest`, and the bias.

        Raises:
            NotImplementedError: a layer with an overlap, for which there is no closed form.
            ValueError: a weight or bias of another shape.
        """
        check_dense(self, weight, bias)
        if self.halo:
            raise NotImplementedError(f"with overlap={self.overlap} there is no closed form of the nearest weights")
        if self.restriction == "mean":
            self.weight.copy_(diagonal_blocks(weight, self.groups))
            self.coarse_weight.copy_(nearest_coarse_weight(weight, self.restriction_weight))
        else:
            parts = nearest_two_level(weight, self.groups, self.coarse_channels)
            for own, nearest in zip((self.weight, self.restriction_weight, self.coarse_weight), parts, strict=True):
                own.copy_(nearest)
        if bias is not None and self.bias is not None:
            self.bias.copy_(bias)

    def dense_weight(self) -> Tensor:
        """The weight (c_out, c_in, k_h, k_w) of the standard convolution that this layer equals, differentiable.

        Its blocks are dense[j, i] = delta_ij A_j + C_j[:, i] r_i; with an overlap A_j reaches into the next blocks.
        """
        return self._folded_weight()

    def _folded_weight(self) -> Tensor:
        if self.halo:
            windows = extended_groups(self.in_channels, self.groups, self.halo, self.weight.device)
            own = windows.repeat_interleave(self.out_channels // self.groups, dim=0)  # (c_out, c_in/n + 2 d)
            nothing = torch.zeros_like(self.weight[:, : self.in_channels // self.groups])
            coarse = folded_weight(nothing, self.restriction_weight, self.coarse_weight, self.groups)
            return spread(self.weight, own, self.in_channels) + coarse
        return folded_weight(self.weight, self.restriction_weight, self.coarse_weight, self.groups)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        if self.restriction == "mean":
            # It is no part of the state, and after construction on the meta device it is not there yet.
            means = self.weight.new_empty(self.restriction_weight.shape)
            self.restriction_weight = channel_means(means)

    @classmethod
    def from_group_conv(cls, conv: nn.Conv2d, *, coarse_channels: int = 1) -> Self:
        """The layer with the weights of a group convolution and C = 0: the same function, with a level to learn.

        Args:
            conv: `GroupConv2d` or `nn.Conv2d` with any number of groups.
            coarse_channels: m.

        Raises:
            TypeError: another kind of convolution; its weights alone do not say what it computes.
            ValueError: coarse_channels < 1, or hooks (pruning and spectral norm set the weight in one).
        """
        if type(conv) not in (nn.Conv2d, GroupConv2d):
            raise TypeError(f"conv is a {type(conv).__name__}; it must be torch.nn.Conv2d or GroupConv2d")
        if has_hooks(conv):
            raise ValueError("conv has hooks, which would be lost, with any weight that they set: remove them first")
        arguments = arguments_of(conv) | {"groups": conv.groups, "coarse_channels": coarse_channels}
        layer = cls(conv.in_channels, conv.out_channels, **arguments)
        fill(layer, conv, conv.weight, conv.bias)
        nn.init.zeros_(layer.coarse_weight)
        return layer.train(conv.training)

    def group_conv(self) -> GroupConv2d:
        """The group convolution that is left when the coarse level is dropped (C = 0), with weights of its own.

        Raises:
            ValueError: a layer with an overlap, whose blocks are no group convolution.
        """
        if self.halo:
            raise ValueError(f"overlap={self.overlap}: without its coarse level the layer is no group convolution")
        conv = GroupConv2d(self.in_channels, self.out_channels, groups=self.groups, **arguments_of(self))
        # Not from the state, where pruning and parametrisations have the weight under other names.
        fill(conv, self, self.weight, self.bias)
        return conv.train(self.training)

    def extra_repr(self) -> str:
        """Conv2d's line with the algorithm, if one is prescribed, the number of coarse channels, and any overlap."""
        algorithm = "" if self.algorithm == "auto" else f", algorithm={self.algorithm}"
        overlap = f", overlap={self.overlap:g}" if self.overlap else ""
        start = "" if self.coarse_start == "fan_out" else f", coarse_start={self.coarse_start}"
        mean = "" if self.restriction == "learned" else f", restriction={self.restriction}"
        return f"{super().extra_repr()}{algorithm}, coarse_channels={self.coarse_channels}{overlap}{start}{mean}"
