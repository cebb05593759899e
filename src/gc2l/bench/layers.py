"""(a) Layers: every variant and algorithm against the framework's group convolution of the same shape."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gc2l.bench.device import CPU, Device
from gc2l.bench.timing import alternate
from gc2l.models import build_model, paper_network
from gc2l.nn import GroupConv2d, LearnableGroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d

FRAMEWORK = "nn.Conv2d(groups=n)"


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """One kind of convolution of a network.

    Attributes:
        c_in, c_out: channels.
        kernel, stride: of both axes.
        size: height and width of the input.
        count: layers of this kind in the network.
    """

    c_in: int
    c_out: int
    kernel: int
    stride: int
    size: int
    count: int

    @property
    def products(self) -> int:
        """Multiplications of the standard convolution for one image, forward."""
        return self.kernel**2 * self.c_in * self.c_out * (self.size // self.stride) ** 2

    def __str__(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.c_in}->{self.c_out} {self.kernel}x{self.kernel}{stride} @{self.size}"


def network_layers(name: str, size: int) -> list[LayerShape]:
    """The distinct shapes of the convolutions that GC-2L replaces in a network of the paper, in order."""
    with torch.device("meta"):
        network = build_model(paper_network(name, "gc2l", 2), num_classes=10).eval()
        found: dict[tuple[int, ...], int] = {}

        def note(layer: TwoLevelGroupConv2d, inputs: tuple[Tensor]) -> None:
            sizes = (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], inputs[0].shape[-1])
            found[sizes] = found.get(sizes, 0) + 1

        for layer in network.modules():
            if isinstance(layer, TwoLevelGroupConv2d):
                layer.register_forward_pre_hook(note)
        network(torch.empty(1, 3, size, size))
    names = ("c_in", "c_out", "kernel", "stride", "size")
    return [LayerShape(**dict(zip(names, sizes, strict=True)), count=count) for sizes, count in found.items()]


def measure_layer(
    shape: LayerShape,
    groups: int,
    *,
    images: int,
    channels_last: bool,
    rounds: int,
    algorithms: Iterable[str],
    group_algorithms: Iterable[str] = (),
    learnable: bool = False,
    device: Device = CPU,
) -> list[dict[str, Any]]:
    """Time every candidate for one shape, forward without gradients and forward with backward, over `FRAMEWORK`.

    Args:
        shape: of the layer and its input.
        groups: n.
        images: batch size.
        channels_last: memory format.
        rounds: number of rounds over the candidates.
        algorithms: of GC-2L, in addition to "auto".
        group_algorithms: of GC, in addition to "auto".
        learnable: whether FLGC is measured too.
        device: where.
    """
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(images, shape.c_in, shape.size, shape.size, device=device.name).to(
        device.dtype, memory_format=memory_format
    )
    x.requires_grad_()
    given: dict[str, Any] = {"stride": shape.stride, "padding": shape.kernel // 2, "bias": False}
    sizes = (shape.c_in, shape.c_out, shape.kernel)
    layers: dict[str, Any] = {
        FRAMEWORK: nn.Conv2d(*sizes, groups=groups, **given),
        "SC": GroupConv2d(*sizes, **given),
        "GC": GroupConv2d(*sizes, groups=groups, **given),
        "Shuffle": ShuffleGroupConv2d(*sizes, groups=groups, **given),
    }
    for algorithm in ("auto", *algorithms):
        label = "GC-2L" if algorithm == "auto" else f"GC-2L {algorithm}"
        layers[label] = TwoLevelGroupConv2d(*sizes, groups=groups, algorithm=algorithm, **given)
    for algorithm in group_algorithms:
        layers[f"GC {algorithm}"] = GroupConv2d(*sizes, groups=groups, algorithm=algorithm, **given)
    if learnable:
        layers["FLGC"] = LearnableGroupConv2d(*sizes, groups=groups, **given)
    for layer in layers.values():
        layer.to(device.name).to(memory_format=memory_format)
    runs = {
        "forward": {name: device.recorded(_forward(layer, x.detach(), device)) for name, layer in layers.items()},
        "forward + backward": {
            name: device.recorded(_forward_backward(layer, x, device)) for name, layer in layers.items()
        },
    }
    return [
        {
            **asdict(shape),
            "groups": groups,
            "images": images,
            "channels_last": channels_last,
            "graph": device.graphs is not None,
            "pass": kind,
            "candidate": name,
            "chosen": layers[name].chosen_algorithm(x) if name not in (FRAMEWORK, "FLGC") else None,
            **asdict(ratio),
        }
        for kind, candidates in runs.items()
        for name, ratio in alternate(candidates, FRAMEWORK, rounds, device.seconds_of).items()
    ]


def _forward(layer: nn.Module, x: Tensor, device: Device) -> Callable[[], tuple[Tensor, ...]]:
    def run() -> tuple[Tensor, ...]:
        with torch.no_grad(), device.autocast():
            return (layer(x),)

    return run


def _forward_backward(layer: nn.Module, x: Tensor, device: Device) -> Callable[[], tuple[Tensor, ...]]:
    inputs = [x, *layer.parameters()]

    def forward() -> Tensor:
        with device.autocast():
            return layer(x)

    upstream = torch.randn_like(forward())
    return lambda: torch.autograd.grad(forward(), inputs, upstream)
