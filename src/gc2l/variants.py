"""The convolution variants that are compared: the one list that every other room reads.

It imports no torch, so that records and tables can be read without it; `gc2l.nn.make_conv` resolves `layer`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from gc2l.names import check_choice, unknown

CoarseStart = Literal["fan_out", "fan_in", "zero"]
"""The start of the coarse level of GC-2L, see `gc2l.nn.TwoLevelGroupConv2d`."""

Restriction = Literal["learned", "mean"]
"""What r of GC-2L is, see `gc2l.nn.TwoLevelGroupConv2d`."""

CoarseLevel = Literal["all", "3x3", "1x1"]
"""The kernel sizes of a network's GC-2L layers; the others are the variant without a coarse level."""

Assignment = Literal["learned", "frozen"]
Start = Literal["random", "aligned"]
"""The options of FLGC, see `gc2l.nn.LearnableGroupConv2d`."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One kind of convolution.

    Attributes:
        label: the name printed in tables and figures, as in the paper.
        layer: "module:class" of the layer that takes the place of `torch.nn.Conv2d`.
        dense_at_one_group: whether the layer with groups = 1 is the standard convolution.
        requires_divisible: whether `groups` has to divide both channel counts.
        options: further arguments of the layer that a cell can set, each a field of `gc2l.cells.ModelConfig`.
        without_coarse_level: the variant that is left when the coarse level is dropped; None where there is none.
    """

    label: str
    layer: str
    dense_at_one_group: bool = True
    requires_divisible: bool = True
    options: tuple[str, ...] = ()
    without_coarse_level: str | None = None


_TWO_LEVEL_OPTIONS = ("coarse_channels", "overlap", "coarse_start", "restriction")

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "sc": Variant(label="SC", layer="gc2l.nn.group:GroupConv2d"),
        "gc": Variant(label="GC", layer="gc2l.nn.group:GroupConv2d"),
        "gc2l": Variant(
            label="GC-2L",
            layer="gc2l.nn.two_level:TwoLevelGroupConv2d",
            options=_TWO_LEVEL_OPTIONS,
            without_coarse_level="gc",
        ),
        "shuffle": Variant(label="Shuffle", layer="gc2l.nn.shuffle:ShuffleGroupConv2d"),
        "flgc": Variant(
            label="FLGC",
            layer="gc2l.nn.learnable:LearnableGroupConv2d",
            dense_at_one_group=False,
            requires_divisible=False,
            options=("assignment", "start"),
        ),
        "scc": Variant(label="SCC", layer="gc2l.nn.sliding:SlidingChannelConv2d", options=("overlap",)),
        "gc2l_shuffle": Variant(
            label="GC-2L, shuffled",
            layer="gc2l.nn.two_level_shuffle:ShuffleTwoLevelGroupConv2d",
            options=_TWO_LEVEL_OPTIONS,
            without_coarse_level="shuffle",
        ),
    }
)


def check_variant(variant: str, groups: int) -> None:
    """Check that `variant` exists and that it can have `groups` groups.

    Raises:
        ValueError: an unknown variant, groups < 1, or "sc" with more than one group.
    """
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    if groups < 1:
        raise ValueError(f"groups={groups} must be at least 1")
    if variant == "sc" and groups != 1:
        raise ValueError(
            f"variant='sc' is the standard convolution and has groups=1, got groups={groups}; "
            f"for {groups} groups choose one of {', '.join(repr(name) for name in VARIANTS if name != 'sc')}"
        )


def check_restriction(restriction: str, coarse_channels: int) -> None:
    """Check the kind of restriction.

    Raises:
        ValueError: an unknown one, or means with more than one coarse channel per group.
    """
    check_choice("restriction", restriction, get_args(Restriction))
    if restriction == "mean" and coarse_channels > 1:
        raise ValueError(
            f"restriction='mean' with coarse_channels={coarse_channels}: a group has one mean, so that "
            "coarse_channels must be 1"
        )
