"""(b) Training steps of whole networks, measured alternately, and (e) their memory."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from gc2l.bench.device import CPU, Device
from gc2l.bench.layers import FRAMEWORK
from gc2l.bench.timing import alternate
from gc2l.models import build_model, paper_network
from gc2l.nn import GroupConv2d, TwoLevelGroupConv2d
from gc2l.training.graph import WARM_UP_STEPS, GraphedStep
from gc2l.variants import VARIANTS

PLAIN = "GC-2L separate"


class TrainingStep:
    """Steps of a network on one batch: cross-entropy, backward pass, SGD with momentum.

    Args:
        network: on `device`.
        images, labels: the batch.
        compile: the loss through torch.compile.
        device: where; if it records graphs, steps after `warm_up` are replayed.
        gradients: adds the gradients of the loss of images and labels, where this process holds only a part of the
            network.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        compile: bool = False,
        device: Device = CPU,
        gradients: Callable[[Tensor, Tensor], None] | None = None,
    ) -> None:
        self.batch = images, labels
        self.optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)

        # No method of this object, which a reference cycle would keep alive.
        def forward(images: Tensor, labels: Tensor) -> tuple[Tensor]:
            with device.autocast():
                logits = network(images)
            return (F.cross_entropy(logits.float(), labels),)

        loss = torch.compile(forward, dynamic=False) if compile else forward
        self._gradients = gradients or (lambda images, labels: loss(images, labels)[0].backward())
        self._graphed = None if device.graphs is None else GraphedStep(loss, self.optimizer, device.graphs())

    def warm_up(self) -> None:
        """Take the steps that a graph is recorded in, or one."""
        for _ in range(1 if self._graphed is None else WARM_UP_STEPS + 1):
            self()

    def __call__(self) -> None:
        """Take one step."""
        if self._graphed is not None:
            self._graphed(*self.batch)
            return
        self.optimizer.zero_grad()
        self._gradients(*self.batch)
        self.optimizer.step()


def measure_steps(
    name: str,
    groups: int,
    *,
    size: int,
    images: int,
    rounds: int,
    channels_last: bool,
    compile: bool,
    candidates: Iterable[str] = ("GC-2L", PLAIN, FRAMEWORK, "SC", "Shuffle"),
    device: Device = CPU,
) -> list[dict[str, Any]]:
    """Time a training step of each variant relative to GC, and measure the memory it keeps."""
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    pictures = torch.randn(images, 3, size, size, device=device.name).to(memory_format=memory_format)
    labels = torch.randint(0, 10, (images,), device=device.name)
    steps, inferences, memory, peaks = {}, {}, {}, {}
    for label in ("GC", *candidates):
        network = make_network(name, label, groups).to(device.name)
        network = network.to(memory_format=memory_format)  # type: ignore[call-overload]
        inferences[label] = _inference(network, pictures, device)
        with device.autocast():
            memory[label] = kept_bytes(network, pictures)
        steps[label] = TrainingStep(network, pictures, labels, compile=compile, device=device)
        steps[label].warm_up()
        peaks[label] = device.peak_bytes(steps[label])
    flops = step_flops(name, size) * images
    measured = {"training step": alternate(steps, "GC", rounds, device.seconds_of)}
    if not compile and device.graphs is None:
        measured["inference"] = alternate(inferences, "GC", rounds, device.seconds_of)
    return [
        {
            "network": name,
            "groups": groups,
            "images": images,
            "channels_last": channels_last,
            "compile": compile,
            "graph": device.graphs is not None,
            "pass": kind,
            "candidate": label,
            **asdict(ratio),
            "images_per_second": images / ratio.seconds,
            "kept_bytes": memory[label] if kind == "training step" else None,
            "peak_bytes": peaks[label] if kind == "training step" else None,
            "flops": flops if label == "SC" and kind == "training step" else None,
        }
        for kind, ratios in measured.items()
        for label, ratio in ratios.items()
    ]


def make_network(name: str, label: str, groups: int) -> nn.Module:
    """The network of the paper `name` with the variant of that label, `PLAIN`, or `FRAMEWORK`."""
    variants = {variant.label: key for key, variant in VARIANTS.items()} | {PLAIN: "gc2l", FRAMEWORK: "gc"}
    variant = variants[label]
    network = build_model(paper_network(name, variant, 1 if variant == "sc" else groups), num_classes=10)
    prescribed: dict[str, tuple[type[TwoLevelGroupConv2d | GroupConv2d], str]] = {
        PLAIN: (TwoLevelGroupConv2d, "separate"),
        FRAMEWORK: (GroupConv2d, "grouped"),
    }
    if label in prescribed:
        kind, algorithm = prescribed[label]
        for layer in network.modules():
            if isinstance(layer, kind):
                layer.algorithm = algorithm
    return network


def kept_bytes(network: nn.Module, images: Tensor) -> int:
    """Bytes of activations that the forward pass keeps for the backward pass: most of a training step's peak memory.

    Unlike the resident memory of a process they do not depend on what ran before, nor on the C library.
    """
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)  # so that no later storage reuses its address
        return tensor.detach()  # an output kept by its own node would never be freed, nor would the network

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(images)
    return sum(kept.values())


def step_flops(name: str, size: int) -> int:
    """Floating-point operations of one training step of SC for one image: two for each product, three passes."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as forward:
        make_network(name, "SC", 1).eval()(torch.empty(1, 3, size, size))
    return 3 * forward.get_total_flops()


def _inference(network: nn.Module, images: Tensor, device: Device) -> Callable[[], object]:
    def run() -> object:
        network.eval()
        with torch.inference_mode(), device.autocast():
            logits = network(images)
        network.train()
        return logits

    return run
