"""Record what a rank-local network sends, by wrapping the collectives of `torch.distributed`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gc2l.nn import Convolution, GroupConv2d, LearnableGroupConv2d, ShuffleGroupConv2d, TwoLevelGroupConv2d
from gc2l.nn.convolution import padding_widths
from gc2l.parallel.link import COLLECTIVES, current_layer
from gc2l.parallel.wire import LayerShape, Traffic

_OTHERS = (
    "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce", "gather", "scatter", "send", "recv",
    "isend", "irecv", "batch_isend_irecv", "all_gather_into_tensor", "reduce_scatter_tensor",
)  # fmt: skip


# "" stands for "sc" or "gc", as the layer has one group or more.
_KINDS: dict[type[nn.Module], str] = {
    nn.Conv2d: "",
    GroupConv2d: "",
    TwoLevelGroupConv2d: "gc2l",
    ShuffleGroupConv2d: "shuffle",
    LearnableGroupConv2d: "flgc",
}


@contextlib.contextmanager
def record_traffic() -> Iterator[list[Traffic]]:
    """Record every collective that this process starts, in order.

    The functions of `torch.distributed` are wrapped, so that sizes are those of the tensors that it is given.

    Raises:
        RuntimeError: in the block, on a collective of another kind than the layers use; nothing goes uncounted.
    """
    traffic: list[Traffic] = []
    names = {name: kind for kind, name in COLLECTIVES.items()}
    with contextlib.ExitStack() as stack:
        for name in _OTHERS:
            if name not in names:
                stack.enter_context(mock.patch.object(dist, name, _refusing(name)))
        for name, kind in names.items():
            stack.enter_context(mock.patch.object(dist, name, _recording(getattr(dist, name), kind, traffic)))
        yield traffic


def layer_shapes(network: nn.Module, images: Tensor) -> list[LayerShape]:
    """Convolutions and classifier of a network in one process, with the sizes they have for `images` (N, 3, H, W).

    Network and images may be on the meta device, where this costs nothing.

    Raises:
        TypeError: a convolution that has no channel-parallel form.
    """
    shapes: list[LayerShape] = []
    names = {layer: name for name, layer in network.named_modules()}

    def note(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        shapes.append(_shape(names[layer], layer, inputs[0], output, first=not shapes))

    with contextlib.ExitStack() as stack:
        for layer in names:
            if isinstance(layer, nn.Conv2d | Convolution | nn.Linear):
                stack.callback(layer.register_forward_hook(note).remove)
        with torch.no_grad():
            network(images)
    return shapes


def _shape(name: str, layer: nn.Module, x: Tensor, y: Tensor, *, first: bool) -> LayerShape:
    if isinstance(layer, nn.Linear):
        kind, groups, pointwise = "classifier", 1, False
    else:
        assert isinstance(layer, nn.Conv2d | Convolution)
        groups, pointwise = layer.groups, layer.kernel_size == (1, 1) and not any(padding_widths(layer))
        if type(layer) not in _KINDS:
            raise TypeError(f"layer {name!r} is a {type(layer).__name__}, which has no channel-parallel form")
        kind = "stem" if first else _KINDS[type(layer)] or ("sc" if groups == 1 else "gc")
    return LayerShape(
        layer=name,
        kind=kind,
        in_channels=x.shape[1],
        out_channels=y.shape[1],
        groups=groups,
        coarse_channels=getattr(layer, "coarse_channels", 1),
        pixels_in=x[0, 0].numel(),
        pixels_out=y[0, 0].numel(),
        pointwise=pointwise,
    )


def _recording(collective: Callable[..., Any], kind: str, traffic: list[Traffic]) -> Callable[..., Any]:
    def record(result: Tensor, *operands: Tensor, group: dist.ProcessGroup | None = None, **options: Any) -> Any:
        volume = max(tensor.nbytes for tensor in (result, *operands))
        ranks, rank = dist.get_world_size(group), dist.get_rank(group)
        if kind == "all_to_all":
            splits = options["output_split_sizes"]
            received = result.nbytes * (sum(splits) - splits[rank]) // sum(splits)
        else:
            received = (2 if kind == "all_reduce" else 1) * volume * (ranks - 1) // ranks
        # The graph is recorded while gradients are on, the autograd engine runs its functions with gradients off.
        traffic.append(
            Traffic(
                layer=current_layer(),
                direction="backward" if torch._C._current_graph_task_id() >= 0 else "forward",
                collective=kind,
                volume=volume,
                received=received,
            )
        )
        return collective(result, *operands, group=group, **options)

    return record


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"torch.distributed.{name} was called, which is not among the collectives that are recorded")

    return refuse
