"""Which way of computing a convolution is the fastest: a table of measured rules for each kind of device and numbers.

A rule names a way and bounds on static facts of the layer and its input; the first rule whose bounds all hold decides,
and where none does, or no table exists, the framework's own kernels compute the formula. No rule looks at a clock, so
that two runs of one configuration compute the same numbers. The measurements are in results/bench/NOTES.md.

To add a device or number format, give it a name in `_table_of` and rows in `TABLES`.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from gc2l.ops.cpu import compiled, matrix_units
from gc2l.ops.geometry import Geometry
from gc2l.ops.memory_format import is_channels_last
from gc2l.ops.transforms import compiles_for_card, is_cast, needs_formula

Bounds = tuple[float, float]


class Rule(NamedTuple):
    """A way, and the facts for which it is the fastest: a truth value, or the least and the greatest number."""

    way: str
    when: Mapping[str, bool | Bounds]

    def holds(self, facts: Mapping[str, bool | float]) -> bool:
        """Whether the facts are within all bounds."""
        return all(
            facts[name] is wanted if isinstance(wanted, bool) else wanted[0] <= facts[name] <= wanted[1]
            for name, wanted in self.when.items()
        )


def rule(way: str, **when: bool | Bounds) -> Rule:
    """A row of a table."""
    return Rule(way, when)


def at_least(number: float) -> Bounds:
    """That number or more."""
    return number, math.inf


def at_most(number: float) -> Bounds:
    """That number or less."""
    return -math.inf, number


# What the compiled kernel for whole layers was made for: weights and images that stay in a core's cache, and images for
# every thread.
COMPILED: dict[str, bool | Bounds] = {
    "can_be_one_kernel": True,
    "own": at_most(80),
    "fine": at_most(80),
    "numbers_of_an_image": at_most(196608),
    "images_of_a_thread": at_least(4),
}

# Where the coarse level's passes over memory are compiled.
PASSES: dict[str, bool | Bounds] = {"compiled": True, "coarse_channels": at_most(compiled.MOST_COARSE)}
SMALL_IMAGES = PASSES | {"pointwise": False, "numbers_of_an_image": at_most(40960)}

# One table for each kind of device and numbers, see `_table_of`; in it the rules of each operator. `Case.facts` says
# what the facts are.
TABLES: dict[str, dict[str, tuple[Rule, ...]]] = {
    "float32 on a CPU": {
        "dense": (
            # The framework's 1 x 1 kernel takes a fifth more time where channels are few.
            rule("matmul", pointwise=True, strided=False, padded=False, channels_last=True),
        ),
        "group": (
            # Small pointwise layers are bound by memory: the standard convolution costs no more.
            rule("folded", pointwise=True, product=at_most(6144)),
            rule("matmul", pointwise=True, channels_last=True, strided=False),
            rule("grouped", pointwise=True),
            # Groups of exactly 16 suit the framework's kernel, unless images are large and weights small.
            rule("direct", channels_last=True, in_channels=at_least(17), **COMPILED | {"fine": (10, 15)}),
            rule("direct", channels_last=True, in_channels=(17, 64), **COMPILED | {"fine": (16, 16)}),
            rule("direct", channels_last=True, in_channels=at_least(17), **COMPILED | {"fine": (17, 40)}),
            # In the usual format the framework's kernels need groups of a multiple of 8 channels.
            rule("channels_last", channels_last=False, fine_beyond_eights=(1, 7), own=at_least(2)),
        ),
        "two_level": (
            # Where a matrix product needs copies of input and output, channels last and back, folding pays longer.
            rule("folded", pointwise=True, copied=True, narrowing=False, product=at_most(65536)),
            rule("folded", pointwise=True, copied=True, groups=at_most(8), product=at_most(65536)),
            rule("folded", pointwise=True, groups=at_most(8), product=at_most(16384)),
            rule("folded", pointwise=True, groups=at_least(9), product=at_most(24576)),
            # Copying an input wider than the output pays only with the backward pass, and with enough to compute.
            rule("separate", pointwise=True, copied=True, narrowing=True, gradients=False),
            rule("separate", pointwise=True, copied=True, narrowing=True, groups=at_least(9), product=at_most(65536)),
            rule("matmul", pointwise=True),
            # A few channels each are too little work beside what a group costs.
            rule("direct", coarse_channels=at_most(16), **COMPILED | {"own": (8, 80), "fine": (8, 80)}),
            rule("direct", coarse_channels=at_most(16), **COMPILED | {"own": (1, 7), "fine": (16, 80)}),
            # Few input channels: bound by the memory of the output, as the standard convolution is.
            rule("matmul", in_channels=at_most(16), out_channels=at_least(128), groups=(2, 4), channels_last=True),
            rule("folded", in_channels=at_most(16)),
            # So much arithmetic that copies, channels last and back, do not pay.
            rule("separate", channels_last=False, fine=at_least(320)),
            rule("matmul", groups=at_most(2)),
            # Kernels work on 16 numbers at once: one channel beyond a multiple of 16 costs as much as 16.
            rule("matmul", strided=True, fine=(16, 16)),
            rule("dense_restriction", strided=True),
            rule("matmul", fine_beyond_sixteens=(0, 0), groups=at_most(16)),
            rule("fused"),
        ),
        # In many groups the products of all taps with x are more numbers than x.
        "two_steps": (rule("two_steps", channels_last=True, groups=at_most(8)),),
    },
    "float64 on a CPU": {
        "two_steps": (rule("two_steps", channels_last=True, groups=at_most(8)),),
    },
    # On matrix units the standard convolution of few channels costs next to nothing.
    "bfloat16 on a CPU with AMX": {
        "group": (
            rule("folded", in_channels=at_most(64), own=at_most(4)),
            rule("folded", pointwise=True, in_channels=at_most(16)),
            rule("matmul", pointwise=True, strided=True, own=at_least(40), channels_last=True),
        ),
        # Folded, there is no output to shuffle.
        "shuffle": (
            rule("folded", in_channels=at_most(16)),
            rule("folded", pointwise=True, product=at_most(55296)),
        ),
        "two_level": (
            rule("folded", in_channels=at_most(64)),
            rule("folded", pointwise=True, product=at_most(55296)),
            # The fused kernels' backward pass with a stride takes up to three times the group convolution's.
            rule("matmul", **PASSES, strided=True),
            # One channel beyond a multiple of 16 costs as much as 16; the passes over x, more where images are large.
            rule("matmul", **SMALL_IMAGES, fine_beyond_sixteens=(0, 0)),
            rule("matmul", **PASSES, fine=at_least(160)),
            rule("separate", strided=True, groups=at_most(8)),
            rule("dense_restriction"),
        ),
    },
}

# Matrix units again: up to these sizes the dense convolution takes less time than the framework's grouped kernels. A
# 1 x 1 convolution that small is bound by memory, so that its zeros cost nothing. "triton" gets rows when its times on
# a card are in results/bench.
_ON_A_CARD = {
    "group": (
        # Wide groups of many channels, and channels first many groups: as fast, and nothing to fold.
        rule("grouped", pointwise=False, in_channels=at_least(640), groups=at_most(4)),
        rule("grouped", pointwise=False, in_channels=at_least(320), groups=at_least(16), channels_last=False),
        rule("folded", groups=at_most(16), own=at_least(2), product=at_most(640 * 640)),
    ),
    "two_level": (rule("folded", groups=at_most(16), own=at_least(2), product=at_most(640 * 640)),),
}
TABLES |= {"bfloat16 on CUDA": _ON_A_CARD, "float16 on CUDA": _ON_A_CARD}


def choose_dense(x: Tensor, weight: Tensor, geometry: Geometry) -> str:
    """A way of computing the standard convolution: "matmul" or, by the framework, "convolution"."""
    if needs_formula():
        return "convolution"
    return _first("dense", x, weight, geometry) or "convolution"


def choose_group(x: Tensor, weight: Tensor, geometry: Geometry) -> str:
    """A way of computing group convolution, see `gc2l.ops.functional.GROUP_WAYS`."""
    if geometry.groups == 1 or (needs_formula() and not compiles_for_card(x)):
        return "grouped"
    return _first("group", x, weight, geometry) or "grouped"


def choose_shuffle(x: Tensor, weight: Tensor, geometry: Geometry) -> str:
    """A way of computing group convolution whose output is shuffled, one of the same."""
    own = None if geometry.groups == 1 or needs_formula() else _first("shuffle", x, weight, geometry)
    return own or choose_group(x, weight, geometry)


def choose_two_level(x: Tensor, weight: Tensor, geometry: Geometry, coarse_channels: int) -> str:
    """A way of computing GC-2L with n m = `coarse_channels`, see `gc2l.ops.functional.TWO_LEVEL_WAYS`."""
    if needs_formula() and not compiles_for_card(x):
        return "separate"
    return _first("two_level", x, weight, geometry, coarse_channels) or "separate"


def choose_two_steps(x: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether the coarse level of a channel-parallel GC-2L layer with these groups is computed by `two_steps`."""
    return not needs_formula() and _first("two_steps", x, weight, geometry) is not None


class Case(NamedTuple):
    """The static description of one call.

    Attributes:
        image: shape of x, (N, c_in, H, W).
        filters: shape of the weight, (c_out, c_in/n, k_h, k_w).
        geometry: of the layer, with its padding also where that is not of zeros.
        coarse_channels: n m.
        channels_last: how x is stored.
        gradients: whether they are recorded.
        threads: of PyTorch.
        compiled: whether the C library can be used.
    """

    image: tuple[int, ...]
    filters: tuple[int, ...]
    geometry: Geometry
    coarse_channels: int = 0
    channels_last: bool = True
    gradients: bool = True
    threads: int = 1
    compiled: bool = True

    def facts(self) -> dict[str, bool | float]:
        """What rules may ask about."""
        images, in_channels, *size = self.image
        out_channels, own, *kernel = self.filters
        groups, strided = self.geometry.groups, max(self.geometry.stride) > 1
        fine, pointwise = out_channels // groups, kernel == [1, 1]
        return {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "product": in_channels * out_channels,
            "groups": groups,
            "own": own,  # input channels of a group
            "fine": fine,  # output channels of a group
            "fine_beyond_eights": fine % 8,
            "fine_beyond_sixteens": fine % 16,
            "coarse_channels": self.coarse_channels,
            "pointwise": pointwise,
            "strided": strided,
            "padded": max(self.geometry.padding) > 0,
            "channels_last": self.channels_last,
            "copied": not self.channels_last and not strided,  # by a way that needs channels last
            "narrowing": in_channels > out_channels,
            "gradients": self.gradients,
            "numbers_of_an_image": in_channels * math.prod(size),
            "images_of_a_thread": math.inf if self.threads == 1 else images / self.threads,
            "compiled": self.compiled,
            "can_be_one_kernel": self.compiled and compiled.has_kernel(self.filters, self.geometry),
        }


def decide(operator: str, table: str, case: Case) -> str | None:
    """The way of the first rule for `operator` that holds; None where none does."""
    facts = case.facts()
    return next((row.way for row in TABLES[table][operator] if row.holds(facts)), None)


_TABLE_NAMES = {
    ("cpu", torch.float32): "float32 on a CPU",
    ("cpu", torch.float64): "float64 on a CPU",
    ("cuda", torch.bfloat16): "bfloat16 on CUDA",
    ("cuda", torch.float16): "float16 on CUDA",
}
_decide_once = lru_cache(maxsize=4096)(decide)


def _first(operator: str, x: Tensor, weight: Tensor, geometry: Geometry, coarse_channels: int = 0) -> str | None:
    table = _table_of(x, weight)
    if operator not in TABLES.get(table, ()) or x.dim() != 4 or not x.numel():
        return None
    compiling = needs_formula()
    case = Case(
        x.shape,
        weight.shape,
        geometry,
        coarse_channels,
        is_channels_last(x),
        torch.is_grad_enabled(),
        1 if compiling else torch.get_num_threads(),
        not compiling and compiled.available(),
    )
    if compiling:  # cannot look anything up
        return decide(operator, table, case)
    try:
        return _decide_once(operator, table, case)
    except TypeError:  # the symbolic sizes of a tracer cannot be looked up
        return decide(operator, table, case)


def _table_of(x: Tensor, weight: Tensor) -> str:
    """The name of the table for these numbers on this device; there may be no table of that name."""
    device = x.device.type
    if device not in ("cpu", "cuda"):
        return ""
    if torch.is_autocast_enabled(device) and is_cast(x.dtype) and is_cast(weight.dtype):
        dtype = torch.get_autocast_dtype(device)
    elif x.dtype == weight.dtype:
        dtype = x.dtype
    else:
        return ""
    if device == "cpu" and dtype is torch.bfloat16 and matrix_units.available():
        return "bfloat16 on a CPU with AMX"
    return _TABLE_NAMES.get((device, dtype), "")
