"""The networks of the paper under timm's names: `import gc2l.models.timm_models`, then `timm.create_model`.

    timm.create_model("gc2l_wide_resnet_cifar", depth=28, widen_factor=10, variant="gc2l", groups=4)
    timm.create_model("gc2l_mobilenet_v2", variant="gc2l", groups=8, num_classes=100)

The other arguments are those of the functions of `gc2l.models`. There are no pretrained weights by these names; see
`gc2l.evidence.load_released`.
"""

from typing import Any

from torch import nn

from gc2l.models.mobilenet import mobilenet_v2
from gc2l.models.torchvision_operators import declare_missing_operators
from gc2l.models.wide_resnet import wide_resnet_cifar, wide_resnet_imagenet

declare_missing_operators()

from timm.models import register_model  # noqa: E402  (timm imports torchvision)

__all__ = ["gc2l_mobilenet_v2", "gc2l_wide_resnet_cifar", "gc2l_wide_resnet_imagenet"]


@register_model
def gc2l_mobilenet_v2(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """See `gc2l.models.mobilenet_v2`."""
    return mobilenet_v2(**_own(pretrained, arguments))


@register_model
def gc2l_wide_resnet_cifar(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """See `gc2l.models.wide_resnet_cifar`."""
    return wide_resnet_cifar(**_own(pretrained, arguments))


@register_model
def gc2l_wide_resnet_imagenet(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """See `gc2l.models.wide_resnet_imagenet`."""
    return wide_resnet_imagenet(**_own(pretrained, arguments))


def _own(pretrained: bool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that are not timm's own; those say where pretrained weights come from, and there are none."""
    given = {name: arguments.pop(name, None) for name in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")}
    if pretrained or any(given.values()):
        raise ValueError(
            f"pretrained={pretrained}, {given}: there are no pretrained weights by this name; "
            "gc2l.evidence.load_released loads the released networks"
        )
    return arguments
