"""The paper's baseline for networks that one GPU cannot hold: consecutive layers on different devices (Table 2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gc2l.models import WideResNet


def split_layers(network: WideResNet, devices: Sequence[torch.device | str]) -> WideResNet:
    """Put stem and residual units in order on the devices, equally many on each, in place; one process drives all.

    A unit costs about as much in one stage as in another. The devices take turns: while one computes the others wait,
    so that this saves memory and no time. Between two devices travels the whole activation, once in each pass.

    Args:
        network: with standard convolutions, as in the paper, or any other.
        devices: such as "cuda:0", "cuda:1"; images may come on any, the logits are on the last.

    Returns:
        `network`.

    Raises:
        ValueError: no device, or more devices than there are units and stem.
    """
    blocks = [network.stem, *(unit for stage in network.stages.children() for unit in stage.children())]
    if not 1 <= len(devices) <= len(blocks):
        raise ValueError(
            f"{len(devices)} devices for a stem and {len(blocks) - 1} units; 1 to {len(blocks)} are allowed"
        )
    for number, block in enumerate(blocks):
        _place(block, torch.device(devices[number * len(devices) // len(blocks)]))
    for block in (network.norm, network.classifier):
        _place(block, torch.device(devices[-1]))
    return network


def _place(block: nn.Module, device: torch.device) -> None:
    def fetch(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].to(device),)

    block.to(device).register_forward_pre_hook(fetch)
