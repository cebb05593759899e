"""Count the work of one rank in a training step, on the meta device, so that wide networks need no memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gc2l.models import WideResNet
from gc2l.nn import Convolution, make_conv
from gc2l.parallel import layer_parts, layer_shapes, network_traffic, rank_share
from gc2l.records import Split, Work

PAPER_STEM = 16
CLASSES = 10
SIDE = 32


@dataclass(frozen=True, kw_only=True)
class Network:
    """A WideResNet-depth-k as in Table 2 on `ranks` ranks; attributes as in `gc2l.records.Work`."""

    depth: int = 28
    widen_factor: int
    variant: str
    groups: int
    ranks: int
    split: Split = "channels"
    images: int

    @property
    def stem_channels(self) -> int:
        """The paper's 16, or n for n > 16 groups, which do not divide 16."""
        return max(PAPER_STEM, self.groups)

    def build(self) -> WideResNet:
        """The whole network."""
        stem = make_conv("sc", 3, self.stem_channels, 3, groups=1, padding=1, bias=False)
        widths = [16 * self.widen_factor, 32 * self.widen_factor, 64 * self.widen_factor]
        units = [(self.depth - 4) // 6] * 3
        return WideResNet(stem, self.stem_channels, widths, units, self.variant, self.groups, CLASSES)

    def build_share(self) -> nn.Module:
        """The share of one rank; the whole network for ranks = 1.

        Raises:
            ValueError: split="layers", where the shares of the ranks differ.
        """
        if self.split == "layers":
            raise ValueError("split='layers' has no share that represents all ranks; use split='channels'")
        return self.build() if self.ranks == 1 else rank_share(self.build(), self.ranks)


def count_work(network: Network, *, element: int = 4) -> Work:
    """Count what one rank computes and receives.

    Args:
        network: the network.
        element: bytes of each number that is sent.
    """
    with torch.device("meta"):
        whole = network.build()
        images = torch.empty(network.images, 3, SIDE, SIDE)
        if network.split == "layers":
            parts = layer_parts(whole, network.ranks)
            computed: nn.Module = whole.train()
            own = max(map(_parameters, parts))
            messages = 2 * _sent(parts, images, element)
        else:
            shapes = layer_shapes(whole.eval(), images[:1])
            computed = network.build_share().train()
            own = _parameters(computed)
            traffic = network_traffic(shapes, ranks=network.ranks, images=network.images, element=element)
            messages = [one.received for one in traffic] if network.ranks > 1 else []
        written = _written(computed)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            computed(images)
    return Work(
        depth=network.depth,
        widen_factor=network.widen_factor,
        variant=network.variant,
        groups=network.groups,
        stem_channels=network.stem_channels,
        ranks=network.ranks,
        split=network.split,
        images=network.images,
        parameters=_parameters(whole),
        own_parameters=own,
        # The gradients of input and weight each cost one more forward pass; torch overcounts those of grouped layers.
        flops=3 * counter.get_total_flops(),
        elements=sum(written),
        layers=len(written),
        collectives=len(messages),
        received_bytes=sum(messages),
    )


def _parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def _sent(parts: Sequence[nn.Module], images: Tensor, element: int) -> list[int]:
    """Bytes of the activation that each part but the last sends to the next and gets back as gradient."""
    sizes = []
    for part in parts[:-1]:
        images = part(images)
        sizes.append(images.numel() * element)
    return sizes


def _written(network: nn.Module) -> list[int]:
    """A list that fills with the sizes of the layers' outputs in the next forward pass."""
    sizes: list[int] = []

    def note(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        sizes.append(output.numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | Convolution | nn.BatchNorm2d) or not list(layer.children()):
            layer.register_forward_hook(note)
    return sizes
