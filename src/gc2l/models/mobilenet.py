"""MobileNetV2 (Sandler et al. 2018): torchvision's network with its 1 x 1 convolutions replaced, paper section 4."""

from typing import Any

from torch import nn

from gc2l.models.conversion import convert, plan_conversion
from gc2l.variants import VARIANTS


def mobilenet_v2(
    variant: str = "sc",
    groups: int = 1,
    num_classes: int = 1000,
    width_mult: float = 1.0,
    **options: Any,
) -> nn.Module:
    """MobileNetV2 whose expansions, projections and last 1 x 1 convolution are those of the variant.

    The 3 x 3 stem and the depthwise convolutions stay. In GC-2L the last 1 x 1 convolution is plain group convolution
    (shuffled where GC-2L is): only so do the parameter counts of the paper's Table 4 come out. The 1 x 1 convolutions
    start with the weights of our layers, also as "sc", all else with those of torchvision. The options are those of the
    variant, such as coarse_channels.

    Raises:
        ValueError: see `gc2l.variants.check_variant`; groups that do not fit every 1 x 1 convolution. Channel counts
            are multiples of 8, so that 1, 2, 4 and 8 groups always do.
        TypeError: an option that the variant does not have.
        ImportError: torchvision is not installed.
    """
    # Here, so that the layers, `convert` and the wide residual networks need PyTorch alone.
    from gc2l.models.torchvision_import import torchvision  # noqa: PLC0415

    network = torchvision.models.mobilenet_v2(num_classes=num_classes, width_mult=width_mult)
    for decision in plan_conversion(network, variant, groups):
        # A network with some standard convolutions left would pass for one of the variant.
        if not decision.replaced and network.get_submodule(decision.name).kernel_size == (1, 1):
            raise ValueError(
                f"groups={groups} with width_mult={width_mult}: {decision.name} would be left, {decision.reason}; "
                "MobileNetV2 can always have 1, 2, 4 or 8 groups"
            )
    last = f"features.{len(network.features) - 1}"

    def pointwise(name: str, conv: nn.Conv2d) -> bool:
        return conv.kernel_size == (1, 1) and not name.startswith(f"{last}.")

    convert(network, variant, groups, where=pointwise, weights="unscaled", **options)
    if (left := VARIANTS[variant].without_coarse_level) is not None:
        variant, options = left, {}
    convert(network.get_submodule(last), variant, groups, weights="unscaled", **options)
    return network
