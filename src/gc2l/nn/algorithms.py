"""Which of several ways to compute a layer is the fastest: rules from measurements, see results/bench/NOTES.md.

The rules look at static facts only (channels, kernel, groups, device, number format, memory format, sizes), never at a
clock, so that two runs of one configuration compute the same numbers.
"""

from functools import cache
from types import ModuleType

import torch
from torch import Tensor, nn

from gc2l.nn import kernels, two_level_passes
from gc2l.nn.convolution import Convolution
from gc2l.nn.geometry import is_channels_last
from gc2l.nn.traced import wants_formula

# c_in c_out up to which a 1 x 1 convolution is bound by memory: the standard convolution then costs no more.
SMALL_GROUP_PRODUCT = 6144
SMALL_TWO_LEVEL_PRODUCT = 16384
SMALL_TWO_LEVEL_MANY_GROUPS_PRODUCT = 24576
# Where a matrix product has its input and output copied, to channels last and back.
SMALL_TWO_LEVEL_COPIED_PRODUCT = 65536
# What the compiled convolution wants: weights and images that stay in a core's cache, and images for every thread.
MOST_DIRECT_CHANNELS = 80  # of one group
MOST_DIRECT_NUMBERS = 196608  # of one image
LEAST_DIRECT_IMAGES = 4  # for each thread, if there are several


def check_algorithm(algorithm: str, known: tuple[str, ...]) -> None:
    """Check the name of an algorithm.

    Raises:
        ValueError: it is none of `known`.
    """
    if algorithm not in known:
        raise ValueError(f"algorithm={algorithm!r} is unknown; choose one of {', '.join(map(repr, known))}")


def choose_group(conv: nn.Conv2d | Convolution, x: Tensor) -> str:
    """The fastest algorithm of `GroupConv2d` for x."""
    if conv.groups == 1 or wants_formula():
        return "grouped"
    if _on_tiles(x):
        return "folded" if conv.in_channels <= 64 and conv.out_channels <= 4 * conv.groups else "grouped"
    return _group(conv, x) if _measured(conv, x) else "grouped"


def choose_two_level(conv: nn.Conv2d | Convolution, x: Tensor, coarse_channels: int) -> str:
    """The fastest algorithm of `TwoLevelGroupConv2d` with n m = `coarse_channels` for x."""
    if wants_formula():
        return "separate"
    if _on_tiles(x):
        return "folded" if conv.in_channels <= 160 else "separate"
    if not _measured(conv, x):
        return "separate"
    if conv.kernel_size == (1, 1):
        return _two_level_pointwise(conv, x)
    # A few channels each are too little work beside what a group costs; better all groups together.
    enough = 8 if conv.in_channels // conv.groups >= 8 else 16
    direct = conv.out_channels // conv.groups >= enough and coarse_channels <= kernels.MOST_COARSE
    return "direct" if direct and _fits_direct(conv, x) else _two_level(conv, x)


def by_parts(conv: nn.Conv2d | Convolution, x: Tensor) -> bool:
    """Whether the coarse level of a channel-parallel GC-2L layer with these groups goes through `two_level_parts`."""
    plain = x.device.type == "cpu" and x.dim() == 4 and x.numel() > 0 and is_channels_last(x)
    exact = x.dtype == conv.weight.dtype and x.dtype in (torch.float32, torch.float64)
    # With many own groups the results of all taps are more numbers than x.
    return plain and exact and conv.groups <= 8 and not torch.is_autocast_enabled("cpu") and not wants_formula()


def choose_passes(x: Tensor, weight: Tensor, coarse_channels: int) -> ModuleType:
    """`kernels` where they serve, else `two_level_passes`, which has the same functions."""
    return kernels if kernels.serve(x, weight, coarse_channels) else two_level_passes


def _group(conv: nn.Conv2d | Convolution, x: Tensor) -> str:
    if conv.kernel_size == (1, 1):
        if conv.in_channels * conv.out_channels <= SMALL_GROUP_PRODUCT:
            return "folded"
        return "matmul" if is_channels_last(x) and max(conv.stride) == 1 else "grouped"
    per_group = conv.out_channels // conv.groups
    # Groups of exactly 16 suit the framework's kernel, unless images are large and weights small.
    narrow = 10 <= per_group <= 40 and (per_group != 16 or conv.in_channels <= 64)
    if narrow and conv.in_channels > 16 and is_channels_last(x) and _fits_direct(conv, x):
        return "direct"
    # In the usual format the framework's kernels want groups of a multiple of 8 channels.
    unfit = not is_channels_last(x) and per_group % 8 and conv.in_channels > conv.groups
    return "channels_last" if unfit else "grouped"


def _fits_direct(conv: nn.Conv2d | Convolution, x: Tensor) -> bool:
    """Whether the compiled convolution can be used, and x and the weights are of the size that it was made for."""
    threads = torch.get_num_threads()
    possible = (conv.kernel_size, conv.stride, conv.dilation) == ((3, 3), (1, 1), (1, 1)) and kernels.available()
    possible = possible and max(conv._reversed_padding_repeated_twice) <= 2
    small = max(conv.in_channels, conv.out_channels) <= MOST_DIRECT_CHANNELS * conv.groups
    small = small and x.numel() <= MOST_DIRECT_NUMBERS * len(x)
    return possible and small and (threads == 1 or len(x) >= LEAST_DIRECT_IMAGES * threads)


def _two_level_pointwise(conv: nn.Conv2d | Convolution, x: Tensor) -> str:
    copied = not is_channels_last(x) and max(conv.stride) == 1
    narrowing = copied and conv.in_channels > conv.out_channels
    many_groups = conv.groups > 8  # with so little arithmetic in each that neither a product for each pays, nor a copy
    product = conv.in_channels * conv.out_channels
    if copied and not (many_groups and narrowing):
        limit = SMALL_TWO_LEVEL_COPIED_PRODUCT
    else:
        limit = SMALL_TWO_LEVEL_MANY_GROUPS_PRODUCT if many_groups else SMALL_TWO_LEVEL_PRODUCT
    if product <= limit:
        return "folded"
    # Copying an input wider than the output pays only with the backward pass, and only with enough to compute.
    in_vain = not torch.is_grad_enabled() or (many_groups and product <= SMALL_TWO_LEVEL_COPIED_PRODUCT)
    return "separate" if narrowing and in_vain else "matmul"


def _two_level(conv: nn.Conv2d | Convolution, x: Tensor) -> str:
    if conv.in_channels <= 16:
        # Bound by the memory of its output, as the standard convolution is, unless that has many channels.
        wide = conv.out_channels >= 128 and 1 < conv.groups <= 4 and is_channels_last(x)
        return "matmul" if wide else "folded"
    per_group = conv.out_channels // conv.groups
    if not is_channels_last(x) and per_group >= 320:
        return "separate"  # so much arithmetic that copying to channels last and back does not pay
    if conv.groups <= 2:
        return "matmul"
    # Kernels work on 16 numbers at once: one more channel beside a multiple of 16 costs as much as 16 more.
    if max(conv.stride) > 1:
        return "matmul" if per_group == 16 else "dense_restriction"
    return "matmul" if per_group % 16 == 0 and conv.groups <= 16 else "fused"


def _measured(conv: nn.Conv2d | Convolution, x: Tensor) -> bool:
    """Whether x is of the kind that the rules were made for: float32 on a processor with AVX-512."""
    plain = x.device.type == "cpu" and x.dim() == 4 and not torch.is_autocast_enabled("cpu")
    return plain and x.dtype is torch.float32 and conv.weight.dtype is torch.float32


def _on_tiles(x: Tensor) -> bool:
    """Whether x meets matrix units (AMX), on which the standard convolution of few channels costs next to nothing."""
    if x.device.type != "cpu" or not _has_tiles():
        return False
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return dtype is torch.bfloat16


@cache
def _has_tiles() -> bool:
    return torch.cpu._is_amx_tile_supported()
