"""Replacing the convolutions of any network, in place, with a report of what was replaced, what was left and why."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gc2l.names import unknown
from gc2l.nn import Convolution, GroupConv2d, make_conv
from gc2l.nn.convolution import arguments_of, has_hooks, keep_padding
from gc2l.variants import VARIANTS, check_variant

Where = Callable[[str, nn.Conv2d], bool]
Weights = Literal["fresh", "nearest", "unscaled"]

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
    weights: Weights = "fresh",
    **options: Any,
) -> nn.Module:
    """Replace the eligible `nn.Conv2d` of any network by the convolution `variant`, in place.

    Eligible are plain standard convolutions (of type `nn.Conv2d` or `GroupConv2d` itself, with groups = 1, no hooks,
    and weights that no other layer shares) whose channel counts `groups` divides; FLGC needs only as many channels as
    groups. A layer that stands under several names is replaced once, under all of them. The new layers have the
    geometry, bias, device, dtype and training flag of the old ones, and weights that are all trainable. The report is
    logged, one line for each convolution, at level INFO; `plan_conversion` returns it.

    Args:
        module: the network, or a single convolution.
        variant: a key of `gc2l.variants.VARIANTS`.
        groups: n.
        where: called with the path and the layer, may leave out eligible convolutions.
        weights: what the new layers start with. "fresh": random weights, scaled so that the dense weight of a new layer
            has the Frobenius norm of the old one, whatever that network's initialisation was: where channels and pixels
            are uncorrelated its outputs have the variance that they had. The network has to be trained. "nearest": the
            weights that come nearest to the old ones in the Frobenius norm, and the old bias, so that a trained network
            only has to be fine-tuned. "unscaled": random weights as the layers start on their own.
        **options: of the layer, such as coarse_channels.

    Returns:
        `module`, or its replacement when it is itself a convolution.

    Raises:
        ValueError: see `gc2l.variants.check_variant`; a wrong option; an unknown `weights`, or "nearest" for a layer
            that has no closed form of it, FLGC and GC-2L with an overlap. Nothing is replaced then.
        TypeError: an option that the variant does not have. Nothing is replaced then.
    """
    if weights not in get_args(Weights):
        raise unknown("weights", weights, get_args(Weights))
    paths: dict[nn.Module, list[str]] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        paths.setdefault(part, []).append(name)
    plan = plan_conversion(module, variant, groups, where=where)
    old = [conv for d in plan if d.replaced and isinstance(conv := module.get_submodule(d.name), nn.Conv2d)]
    new = [_replacement(conv, variant, groups, weights, options) for conv in old]
    for decision in plan:
        _log.info(
            "%s %s: %s", "replaced" if decision.replaced else "left", decision.name or "the module", decision.reason
        )
    for conv, layer in zip(old, new, strict=True):
        if conv is module:
            return layer
        for path in paths[conv]:
            module.set_submodule(path, layer)
    return module


def _decide(
    name: str, conv: nn.Conv2d | Convolution, variant: str, groups: int, where: Where | None, *, tied: bool
) -> Decision:
    label = f"{conv.in_channels} to {conv.out_channels} channels, kernel {tuple(conv.kernel_size)}"
    if not isinstance(conv, nn.Conv2d) or type(conv) not in (nn.Conv2d, GroupConv2d):
        reason = f"it is a {type(conv).__name__}, not a plain Conv2d"
    elif has_hooks(conv):
        reason = "it has hooks or a forward of its own, which would be lost"
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


def _replacement(
    conv: nn.Conv2d, variant: str, groups: int, weights: Weights, options: dict[str, Any]
) -> GroupConv2d | Convolution:
    layer = make_conv(
        variant,
        conv.in_channels,
        conv.out_channels,
        groups=groups,
        **arguments_of(conv),
        **options,
    )
    keep_padding(layer, conv)
    if weights == "fresh":
        norm = _norm(layer.dense_weight())
        layer.scale_weights(torch.where(norm > 0, _norm(conv.weight) / norm, 1).to(conv.weight.dtype))
    elif weights == "nearest":
        try:
            layer.set_nearest(conv.weight, conv.bias)
        except NotImplementedError as error:
            raise ValueError(f"weights='nearest' with variant={variant!r}: {error}; use weights='fresh'") from error
    return layer.train(conv.training)


@torch.no_grad()
def _norm(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
