"""Wide residual networks for CIFAR (WideResNet-28-k) and ImageNet (WideResNet-34-2), paper section 4.

The convolutions of the residual units and their shortcuts are those of the variant; stem and classifier are not.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.models.residual import ResidualUnit
from gc2l.nn import make_conv

IMAGENET_UNITS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Units per stage of the ImageNet networks, by depth."""


class WideResNet(nn.Module):
    """Stem, stages of residual units, batch norm, ReLU, global average pooling, linear classifier.

    Every stage but the first halves height and width. The convolutions start as He et al. have it, with Kaiming normal
    weights; the classifier, which no ReLU follows, starts as `torch.nn.Linear` does.

    Args:
        stem: from images (N, 3, H, W) to (N, stem_channels, H', W').
        stem_channels: channels that the stem gives.
        widths: channels of each stage.
        units: residual units in each stage.
        variant, groups, options: the convolution, see `ResidualUnit`.
        num_classes: length of the logits.
    """

    def __init__(
        self,
        stem: nn.Module,
        stem_channels: int,
        widths: Sequence[int],
        units: Sequence[int],
        variant: str,
        groups: int,
        num_classes: int,
        **options: Any,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential()
        channels = stem_channels
        for stage, (width, count) in enumerate(zip(widths, units, strict=True)):
            chain = nn.Sequential()
            for unit in range(count):
                stride = 2 if stage > 0 and unit == 0 else 1
                chain.append(ResidualUnit(channels, width, stride, variant, groups, **options))
                channels = width
            self.stages.append(chain)
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, 3, H, W)."""
        features = F.relu(self.norm(self.stages(self.stem(images))))  # (N, channels, H', W')
        return self.classifier(features.mean(dim=(2, 3)))


def wide_resnet_cifar(
    depth: int = 28,
    widen_factor: float = 10,
    variant: str = "sc",
    groups: int = 1,
    num_classes: int = 10,
    **options: Any,
) -> WideResNet:
    """WideResNet-depth-k for images of about 32 x 32: three stages of (depth - 4) / 6 units, 16k, 32k, 64k wide.

    The options are those of `ResidualUnit`: coarse_level, and those of the variant, such as coarse_channels.

    Raises:
        ValueError: a depth that is not 6 a + 4, a widen factor that gives no whole number of channels, and the errors
            of `gc2l.nn.make_conv`.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth={depth} of a CIFAR network must be 6 a + 4: 10, 16, 22, 28, 34, 40, ...")
    stem = make_conv("sc", 3, 16, 3, groups=1, padding=1, bias=False)
    widths = _widths(16, 3, widen_factor)
    units = [(depth - 4) // 6] * 3
    return WideResNet(stem, 16, widths, units, variant, groups, num_classes, **options)


def wide_resnet_imagenet(
    depth: int = 34,
    widen_factor: float = 2,
    variant: str = "sc",
    groups: int = 1,
    num_classes: int = 1000,
    **options: Any,
) -> WideResNet:
    """WideResNet-depth-k for images of about 224 x 224: 7 x 7 stem and pooling, four stages 64k, 128k, 256k, 512k wide.

    The options are those of `ResidualUnit`: coarse_level, and those of the variant, such as coarse_channels.

    Raises:
        ValueError: a depth other than 10, 18, 34, a widen factor that gives no whole number of channels, and the errors
            of `gc2l.nn.make_conv`.
    """
    if depth not in IMAGENET_UNITS:
        raise ValueError(f"depth={depth} of an ImageNet network must be one of {', '.join(map(str, IMAGENET_UNITS))}")
    stem = nn.Sequential(
        make_conv("sc", 3, 64, 7, groups=1, stride=2, padding=3, bias=False),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    widths = _widths(64, 4, widen_factor)
    return WideResNet(stem, 64, widths, IMAGENET_UNITS[depth], variant, groups, num_classes, **options)


def _widths(first: int, stages: int, widen_factor: float) -> list[int]:
    """Channels of each stage: `first` times the widen factor, doubled from stage to stage."""
    width = first * widen_factor
    if width < 1 or width != int(width):
        raise ValueError(
            f"widen_factor={widen_factor} gives {width:g} channels in the first stage; "
            f"it must be a positive multiple of 1/{first}"
        )
    return [int(width) << stage for stage in range(stages)]
