"""Replacing the convolutions of any network, in place, with a report of what was replaced, what was left and why."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from gc2l.nn import Convolution, make_conv
from gc2l.variants import VARIANTS, check_variant

Where = Callable[[str, nn.Conv2d], bool]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of one convolution.

    Attributes:
        name: its path in the network, the first of several; "" when the network itself is the convolution.
        replaced: whether it is replaced.
        reason: why it is left, or what takes its place.
    """

    name: str
    replaced: bool
    reason: str


def plan_conversion(module: nn.Module, variant: str, groups: int, *, where: Where | None = None) -> list[Decision]:
    """Decide for every convolution of `module` whether `convert` replaces it; `module` stays as it is.

    Raises:
        ValueError: see `gc2l.variants.check_variant`.
    """
    check_variant(variant, groups)
    holders = Counter(parameter for part in module.modules() for parameter in part.parameters(recurse=False))
    return [
        _decide(name, conv, variant, groups, where, tied=any(holders[value] > 1 for value in conv.parameters()))
        for name, conv in module.named_modules()
        if isinstance(conv, nn.Conv2d | Convolution)
    ]


def convert(
    module: nn.Module,
    variant: str,
    groups: int,
    *,
    where: Where | None = None,
    coarse_channels: int = 1,
) -> nn.Module:
    """Replace the eligible `nn.Conv2d` of any network by the convolution `variant`, in place.

    Eligible are plain standard convolutions (of type `nn.Conv2d` itself, with groups = 1, no hooks, and weights that
    no other layer shares) whose channel counts `groups` divides; FLGC needs only as many channels as groups. A layer
    that stands under several names is replaced once, under all of them. The new layers have the geometry, bias, device,
    dtype and training flag of the old ones, and fresh weights, all trainable: the network has to be trained. The report
    is logged, one line for each convolution, at level INFO; `plan_conversion` returns it.

    Args:
        module: the network, or a single convolution.
        variant: a key of `gc2l.variants.VARIANTS`.
        groups: n.
        where: called with the path and the layer, may leave out eligible convolutions.
        coarse_channels: m, representative channels per group of GC-2L; other variants have none and take only 1.

    Returns:
        `module`, or its replacement when it is itself a convolution.

    Raises:
        ValueError: see `gc2l.variants.check_variant`; coarse_channels < 1.
        TypeError: coarse_channels > 1 for a variant without a coarse level.
    """
    paths: dict[nn.Module, list[str]] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        paths.setdefault(part, []).append(name)
    for decision in plan_conversion(module, variant, groups, where=where):
        _log.info(
            "%s %s: %s", "replaced" if decision.replaced else "left", decision.name or "the module", decision.reason
        )
        if not decision.replaced:
            continue
        conv = module.get_submodule(decision.name)
        assert isinstance(conv, nn.Conv2d)
        layer = _replacement(conv, variant, groups, coarse_channels)
        if decision.name == "":
            return layer
        for path in paths[conv]:
            module.set_submodule(path, layer)
    return module


def _decide(
    name: str, conv: nn.Conv2d | Convolution, variant: str, groups: int, where: Where | None, *, tied: bool
) -> Decision:
    label = f"{conv.in_channels} to {conv.out_channels} channels, kernel {tuple(conv.kernel_size)}"
    if type(conv) is not nn.Conv2d:
        reason = f"it is a {type(conv).__name__}, not a plain Conv2d"
    elif conv._forward_pre_hooks or conv._forward_hooks or conv._backward_pre_hooks or conv._backward_hooks:
        reason = "it has hooks, which would be lost"
    elif tied:
        reason = "another layer shares its weights"
    elif conv.groups != 1:
        reason = f"it has groups={conv.groups} already"
    elif VARIANTS[variant].requires_divisible and (conv.in_channels % groups or conv.out_channels % groups):
        reason = f"groups={groups} does not divide {label}"
    elif min(conv.in_channels, conv.out_channels) < groups:
        reason = f"it has fewer channels than groups={groups}: {label}"
    elif where is not None and not where(name, conv):
        reason = "where excludes it"
    else:
        return Decision(name=name, replaced=True, reason=f"{VARIANTS[variant].label} with groups={groups}, {label}")
    return Decision(name=name, replaced=False, reason=reason)


def _replacement(conv: nn.Conv2d, variant: str, groups: int, coarse_channels: int) -> nn.Conv2d | Convolution:
    options = {} if coarse_channels == 1 else {"coarse_channels": coarse_channels}
    layer = make_conv(
        variant,
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        groups=groups,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
        **options,
    )
    return layer.train(conv.training)
