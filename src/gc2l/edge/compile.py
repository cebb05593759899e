"""Any network for inference on a CPU: its grouped convolutions compiled, batch norm and ReLU inside them."""

import copy
import logging

from torch import nn

from gc2l.edge.describe import describe
from gc2l.edge.layer import InferenceConv2d, choose_engine
from gc2l.edge.relu import with_relus
from gc2l.models.fusion import fuse_batch_norm
from gc2l.nn import Convolution

_log = logging.getLogger(__name__)


def compile_for_inference(network: nn.Module, *, engine: str | None = None) -> nn.Module:
    """A copy of `network` that computes the same, up to rounding, faster on a CPU with few images.

    Batch norms are folded (`fuse_batch_norm`); grouped convolutions, `nn.Conv2d` itself and the layers of `gc2l.nn`,
    become `InferenceConv2d`, SCC and what has one group as the standard convolution that it equals; a ReLU that alone
    uses a convolution's output moves into it, see `gc2l.edge.relu`. Where `torch.fx` cannot trace the network, norms
    and ReLUs stay; so do ReLUs where its `forward` has optional arguments. Everything else stays as it is, also
    standard convolutions. One line for each convolution is logged at level INFO, with its form, or why it is left.

    A part whose `forward` calls ReLU as a function, or one ReLU for several layers, becomes a `torch.fx.GraphModule`
    with the same parts and attributes. It has no other methods, and settings that `forward` reads stay as they are now.

    Args:
        network: in evaluation mode.
        engine: "c", the library compiled with this package, or "tvm"; None takes the first that is there.

    Raises:
        ValueError: training mode, an unknown engine.
        ImportError: nothing to compile with; see `choose_engine`. `network` is as it was and can be used.
    """
    chosen = choose_engine(engine)
    if network.training:
        raise ValueError(
            "network is in training mode, where batch norm depends on the batch: call network.eval() first"
        )
    compiled = _without_norms(network)
    modules: list[tuple[str, nn.Module]] = list(compiled.named_modules(remove_duplicate=False))
    for name, layer in modules:
        if not isinstance(layer, (nn.Conv2d, Convolution)):
            continue
        described = describe(layer)
        if isinstance(described, str):
            _log.info("left %s: %s", name or "the network", described)
            continue
        form = "as a grouped convolution" if described.geometry.groups > 1 else "as the standard convolution it equals"
        _log.info("compiled %s, %s", name or "the network", form)
        replacement = InferenceConv2d(described, chosen, layer).eval()
        if name == "":
            return replacement
        compiled.set_submodule(name, replacement)
    return with_relus(compiled)


def _without_norms(network: nn.Module) -> nn.Module:
    if isinstance(network, (nn.Conv2d, Convolution)):
        return copy.deepcopy(network)
    try:
        return fuse_batch_norm(network)
    except ValueError as error:
        _log.info("left all batch norms: %s", error)
        return copy.deepcopy(network)
