"""Any network for inference on a CPU: its grouped convolutions compiled, batch norm and ReLU inside them."""

import copy
import logging
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from gc2l.edge.describe import describe
from gc2l.edge.grouped import GroupedConvolution
from gc2l.edge.layer import InferenceConv2d, choose_engine
from gc2l.models.fusion import defaults_of, fuse_batch_norm
from gc2l.nn import Convolution
from gc2l.nn.convolution import has_hooks

_log = logging.getLogger(__name__)
_RELU_FUNCTIONS = (F.relu, torch.relu, torch.relu_, F.relu_)


def compile_for_inference(network: nn.Module, *, engine: str | None = None) -> nn.Module:
    """A copy of `network` that computes the same, up to rounding, faster on a CPU with few images.

    Batch norms are folded (`fuse_batch_norm`); grouped convolutions, `nn.Conv2d` itself and the layers of `gc2l.nn`,
    become `InferenceConv2d`, SCC and what has one group as the standard convolution that it equals; a ReLU that alone
    uses a convolution's output moves into it. Where `torch.fx` cannot trace the network, norms and ReLUs stay; so do
    ReLUs where its `forward` has optional arguments or it has hooks. Everything else stays as it is, also standard
    convolutions. One line for each convolution is logged at level INFO, with its form, or the reason where it is left.

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
        replacement = InferenceConv2d(described, chosen).eval()
        if name == "":
            return replacement
        compiled.set_submodule(name, replacement)
    return _with_relus(compiled)


def _without_norms(network: nn.Module) -> nn.Module:
    if isinstance(network, (nn.Conv2d, Convolution)):
        return copy.deepcopy(network)
    try:
        return fuse_batch_norm(network)
    except ValueError as error:
        _log.info("left all batch norms: %s", error)
        return copy.deepcopy(network)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Compiled layers are not looked into, nor is what has hooks, which would run on symbols."""
        return isinstance(m, InferenceConv2d) or has_hooks(m) or super().is_leaf_module(m, module_qualified_name)


def _with_relus(network: nn.Module) -> nn.Module:
    """ReLUs that alone use a compiled layer's output moved into it."""
    if has_hooks(network):
        _log.info("left all ReLUs: the network has hooks, which would be lost")
        return network
    try:
        graph = _Tracer().trace(network)
        traced = fx.GraphModule(network, graph)
    except Exception as error:
        # What fx raises depends on the network's own code.
        _log.info("left all ReLUs: torch.fx cannot trace the network (%s)", error)
        return network
    if defaults := defaults_of(network):
        _log.info("left all ReLUs: with %s the network may compute something else", ", ".join(defaults))
        return network
    modules: dict[Any, nn.Module] = dict(traced.named_modules(remove_duplicate=False))
    calls = [modules[node.target] for node in graph.nodes if node.op == "call_module"]
    for node in list(graph.nodes):
        layer = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(layer, InferenceConv2d) or calls.count(layer) > 1:
            continue
        last = node
        while len(last.users) == 1 and _is(modules, next(iter(last.users)), nn.Identity):
            last = next(iter(last.users))
        users = list(last.users)
        if len(users) == 1 and (_is(modules, users[0], nn.ReLU) or _is_relu_function(users[0])):
            described: GroupedConvolution = layer.convolution.with_relu()
            traced.set_submodule(node.target, InferenceConv2d(described, layer.engine).eval())
            users[0].replace_all_uses_with(last)
            graph.erase_node(users[0])
            _log.info("%s takes up the ReLU after it", node.target)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced.eval()


def _is(modules: dict[Any, nn.Module], node: fx.Node, kind: type[nn.Module]) -> bool:
    module = modules.get(node.target) if node.op == "call_module" else None
    return type(module) is kind and not has_hooks(module)


def _is_relu_function(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    return node.op == "call_function" and node.target in _RELU_FUNCTIONS
