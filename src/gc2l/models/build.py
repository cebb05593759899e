"""From a configuration to a network, and from the paper's name of a network to its configuration."""

import re

from torch import nn

from gc2l.cells import ModelConfig
from gc2l.models.mobilenet import mobilenet_v2
from gc2l.models.wide_resnet import wide_resnet_cifar, wide_resnet_imagenet


def build_model(config: ModelConfig, num_classes: int) -> nn.Module:
    """The network of `config` with freshly drawn weights.

    Raises:
        ValueError: a depth or width that the family does not have, groups that do not divide its channels.
    """
    convolution = config.variant, config.groups, num_classes
    options = config.options()
    if config.depth is None:  # `ModelConfig` sees to it that this is MobileNetV2 and no other
        return mobilenet_v2(*convolution, config.width, **options)
    make = {"wide_resnet_cifar": wide_resnet_cifar, "wide_resnet_imagenet": wide_resnet_imagenet}[config.network]
    return make(config.depth, config.width, *convolution, coarse_level=config.coarse_level, **options)


def paper_network(name: str, variant: str, groups: int) -> ModelConfig:
    """The configuration of a network of the paper's tables: "wide_resnet_28_10", "mobilenet_v2" and so on.

    Raises:
        ValueError: a name of another form.
    """
    if name == "mobilenet_v2":
        return ModelConfig(network="mobilenet_v2", depth=None, width=1.0, variant=variant, groups=groups)
    if match := re.fullmatch(r"wide_resnet_(\d+)_(\d+)", name):
        depth, width = map(int, match.groups())
        return ModelConfig(
            network="wide_resnet_imagenet" if depth == 34 else "wide_resnet_cifar",
            depth=depth,
            width=width,
            variant=variant,
            groups=groups,
        )
    raise ValueError(f"network={name!r} must be 'mobilenet_v2' or of the form 'wide_resnet_28_10'")
