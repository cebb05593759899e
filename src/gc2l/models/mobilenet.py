"""MobileNetV2 (Sandler et al. 2018): torchvision's network with its 1 x 1 convolutions replaced, paper section 4."""

from torch import nn

from gc2l.models.conversion import convert
from gc2l.torchvision_import import torchvision


def mobilenet_v2(
    variant: str = "sc",
    groups: int = 1,
    num_classes: int = 1000,
    width_mult: float = 1.0,
    coarse_channels: int = 1,
) -> nn.Module:
    """MobileNetV2 whose expansions, projections and last 1 x 1 convolution are those of the variant.

    The 3 x 3 stem and the depthwise convolutions stay. In GC-2L the last 1 x 1 convolution is plain group convolution:
    only so do the parameter counts of the paper's Table 4 come out. Where a width multiplier leaves channel counts
    that `groups` does not divide, those convolutions stay standard ones, see `convert`.

    Raises:
        ValueError: see `gc2l.variants.check_variant`.
    """
    network = torchvision.models.mobilenet_v2(num_classes=num_classes, width_mult=width_mult)
    last = f"features.{len(network.features) - 1}"

    def pointwise(name: str, conv: nn.Conv2d) -> bool:
        return conv.kernel_size == (1, 1) and not name.startswith(last)

    convert(network, variant, groups, where=pointwise, coarse_channels=coarse_channels)
    convert(network.get_submodule(last), "gc" if variant == "gc2l" else variant, groups)
    return network
