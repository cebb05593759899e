"""Small networks in float64 and their training steps, for the tests of this room."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.models import mobilenet_v2, wide_resnet_cifar, wide_resnet_imagenet

CLASSES = 5


@dataclass(frozen=True)
class Case:
    """A network; `str` is the name of the test."""

    variant: str
    groups: int
    network: str = "cifar"
    coarse_channels: int = 1
    overlap: bool = True
    channels_last: bool = False
    restriction: str = "learned"

    def __str__(self) -> str:
        coarse = "" if self.coarse_channels == 1 else f"-m{self.coarse_channels}"
        flags = "" if self.overlap else "-waiting"
        flags += "-channels_last" if self.channels_last else ""
        flags += "" if self.restriction == "learned" else f"-{self.restriction}"
        return f"{self.network}-{self.variant}-n{self.groups}{coarse}{flags}"

    def build(self, *, dropout: float = 0.0, seed: int = 0) -> nn.Module:
        """The network with equal weights wherever it is built, every parameter random."""
        torch.manual_seed(seed)
        options: dict[str, Any] = {"variant": self.variant, "groups": self.groups, "num_classes": CLASSES}
        if self.coarse_channels != 1:
            options["coarse_channels"] = self.coarse_channels
        if self.restriction != "learned":
            options["restriction"] = self.restriction
        match self.network:
            case "cifar":
                network = wide_resnet_cifar(depth=10, widen_factor=1, **options)
            case "imagenet":
                network = wide_resnet_imagenet(depth=10, widen_factor=1, **options)
            case "mobilenet":
                network = mobilenet_v2(width_mult=0.25, **options)
                network.classifier[0] = nn.Dropout(dropout)
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.eps = 0.1  # dozens of normalisations over a few pixels each would magnify every rounding error
        network = network.double()
        with torch.no_grad():  # a fresh batch norm, and its zero biases, would hide a mistake
            for parameter in network.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.3 * torch.randn_like(parameter))
        if self.channels_last:
            network = network.to(memory_format=torch.channels_last)
        return network


def batch(step: int, *, images: int = 3, size: int = 9) -> tuple[Tensor, Tensor]:
    """Images (N, 3, size, size) and labels (N) of a step, equal on all ranks."""
    generator = torch.Generator().manual_seed(100 + step)
    x = torch.randn(images, 3, size, size, generator=generator, dtype=torch.float64)
    return x, torch.randint(CLASSES, (images,), generator=generator)


def optimizer(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.grad for name, value in network.named_parameters() if value.grad is not None}


def backward(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The logits; every gradient of the cross-entropy is then in place."""
    network.zero_grad()
    logits = network(images)
    F.cross_entropy(logits, labels).backward()
    return logits.detach()


def distance(values: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest difference of any number, relative to the largest of its tensor where that exceeds 1."""
    assert values.keys() == expected.keys(), values.keys() ^ expected.keys()
    worst = 0.0
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()))
        worst = max(worst, float((values[name] - value).abs().max()) / scale)
    return worst
