"""The paper's baseline for networks that one GPU cannot hold: consecutive layers on different devices (Table 2).

One device computes while the others wait: this saves memory, not time. Neighbours exchange
the whole activation and its gradient.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

from gc2l.models import WideResNet


def split_layers(network: WideResNet, devices: Sequence[torch.device | str]) -> WideResNet:
    """Put stem and residual units in order on the devices, equally many on each, in place; one process drives all.

    A unit costs about as much in one stage as in another.

    Args:
        network: with standard convolutions, as in the paper, or any other.
        devices: such as "cuda:0", "cuda:1"; images may come on any, the logits are on the last.

    Returns:
        `network`.

    Raises:
        ValueError: no device, or more devices than there are units and stem.
    """
    for device, part in zip(devices, layer_parts(network, len(devices)), strict=True):
        for block in part:
            _place(block, torch.device(device))
    return network


def layer_parts(network: WideResNet, count: int) -> list[nn.Sequential]:
    """The network as `count` consecutive parts that share its modules.

    Raises:
        ValueError: no part, or more than there are units and stem.
    """
    blocks = [network.stem, *(unit for stage in network.stages.children() for unit in stage.children())]
    if not 1 <= count <= len(blocks):
        raise ValueError(f"{count} devices for a stem and {len(blocks) - 1} units; 1 to {len(blocks)} are allowed")
    parts = [nn.Sequential() for _ in range(count)]
    for number, block in enumerate(blocks):
        parts[number * count // len(blocks)].append(block)
    head = nn.Sequential(network.norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.classifier)
    parts[-1].append(head)
    return parts


def layer_split_gradients(
    part: nn.Sequential,
    *,
    rank: int,
    ranks: int,
    device: str,
    precision: torch.dtype = torch.float32,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor], None]:
    """Forward and backward pass of a network whose part number `rank` this process holds; one process for each part.

    Args:
        part: of `layer_parts`.
        rank, ranks: of this process in the default process group.
        device: of the part.
        precision: bfloat16 for automatic mixed precision; activations are sent in float32 even so.
        loss: of logits and labels.

    Returns:
        A function of the whole batch's images and labels, alike on all ranks, that adds this part's gradients.
    """
    if rank > 0:
        part.register_forward_pre_hook(lambda _, inputs: (inputs[0].permute(0, 3, 1, 2),))
    if rank < ranks - 1:
        part.register_forward_hook(lambda _, __, output: _to_send(output))
    stage = PipelineStage(part, rank, ranks, torch.device(device))
    # One micro-batch: the paper's baseline does not pipeline.
    schedule = ScheduleGPipe(stage, n_microbatches=1, loss_fn=loss)

    def differentiate(images: Tensor, labels: Tensor) -> None:
        given = [images] if rank == 0 else []
        with torch.autocast(device, precision, enabled=precision != torch.float32):
            if rank == ranks - 1:
                schedule.step(*given, target=labels, return_outputs=False)
            else:
                schedule.step(*given)

    return differentiate


def _to_send(output: Tensor) -> Tensor:
    # Only contiguous tensors can be sent; channels last ones are contiguous as (N, H, W, channels). At least float32,
    # because the pipeline allocates its buffers by a pass outside autocast.
    return output.permute(0, 2, 3, 1).to(torch.promote_types(output.dtype, torch.float32)).contiguous()


def _place(block: nn.Module, device: torch.device) -> None:
    def fetch(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].to(device),)

    block.to(device).register_forward_pre_hook(fetch)
