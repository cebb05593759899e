"""Training steps of a network on a batch of noise, and their time."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.records import Timing
from gc2l.scaling.work import CLASSES, SIDE
from gc2l.training.graph import GraphedStep, Graphs


class Stepper:
    """A network with its optimiser and a batch of noise, ready to make training steps.

    Args:
        network: on the meta device it gets memory and random weights.
        images: batch size.
        device: "cpu" or "cuda".
        precision: "float32" or "bfloat16" (automatic mixed precision).
        graphs: records the step after the first few, which is then replayed; in a process that holds the whole.
        gradients: adds the gradients of the loss of images and labels, where this process holds a part only.
        seed: of the noise, alike on all ranks.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        images: int,
        device: str,
        precision: str,
        graphs: Graphs | None = None,
        gradients: Callable[[Tensor, Tensor], None] | None = None,
        seed: int = 0,
    ) -> None:
        self.device = device
        generator = torch.Generator().manual_seed(seed)
        if any(value.is_meta for value in network.parameters()):
            network = _with_memory(network.to_empty(device=device))
        self.network: Any = network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        noise = torch.randn(images, 3, SIDE, SIDE, generator=generator)
        self.batch = noise.to(device).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(CLASSES, (images,), generator=generator).to(device)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True
        )
        # No method of this object, which would keep all of it alive in a circle.
        forward = partial(_loss, self.network, precision)
        self.gradients = gradients or (lambda images, labels: forward(images, labels)[0].backward())
        self.graphed = None if graphs is None else GraphedStep(forward, self.optimizer, graphs)

    def step(self) -> None:
        """One training step, to its end."""
        if self.graphed is not None:
            self.graphed(self.batch, self.labels)
        else:
            self.optimizer.zero_grad(set_to_none=True)
            self.gradients(self.batch, self.labels)
            self.optimizer.step()
        if self.device == "cuda":
            torch.cuda.synchronize()


def _loss(network: nn.Module, precision: str, images: Tensor, labels: Tensor) -> tuple[Tensor]:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits = network(images)
    return (F.cross_entropy(logits.float(), labels),)


def seconds_of(step: Callable[[], None]) -> float:
    """Wall-clock time of one call."""
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


def timing(seconds: list[float]) -> Timing:
    """Median and range."""
    return Timing(seconds=statistics.median(seconds), low=min(seconds), high=max(seconds), repeats=len(seconds))


def _with_memory(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for value in network.parameters():
            if value.dim() > 1:
                nn.init.kaiming_normal_(value)
            else:
                nn.init.ones_(value)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
    return network
