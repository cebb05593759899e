"""Batch norm folded into the convolutions of any network, where the flow of data allows it."""

import copy
import logging
from collections import Counter
from collections.abc import Iterator
from inspect import Parameter, signature
from operator import attrgetter
from typing import Any

from torch import nn

from gc2l.models.folding import LAYERS, check_pair, fold, norm_types, without_norm
from gc2l.models.tracing import Tracer
from gc2l.nn.convolution import has_hooks

_log = logging.getLogger(__name__)


def fuse_batch_norm(module: nn.Module, norm: nn.Module | None = None) -> nn.Module:
    """Fold batch norm into the convolutions of a network, or `norm` into the one layer before it, in a copy.

    The layers are `nn.Conv2d` itself (a subclass may compute something else) and those of `gc2l.nn`; the norms are
    `nn.BatchNorm2d`, `nn.SyncBatchNorm` and timm's `BatchNormAct2d`, whose activation stays.

    In a network, which `torch.fx` traces, a norm is folded where `forward` uses the layer once and gives its output to
    this norm alone, with its optional arguments and without them. It leaves an `nn.Identity` behind. A norm before a
    convolution stays, as the first of a pre-activation unit does, and so do those in parts that cannot be traced or
    have hooks, and one after a layer whose output `forward` stores. A `forward` that asks for the norm's settings or
    class, or whether the layer has a bias, finds an `nn.Identity` and a bias: leave such a network as it is. One line
    for each layer is logged at level INFO.

    Args:
        module: a network or, with `norm`, a layer; in evaluation mode.
        norm: the batch norm that follows the layer; in evaluation mode.

    Returns:
        A copy that computes what module and norms did, up to rounding. The arguments stay as they are.

    Raises:
        TypeError: with `norm`, another kind of layer or norm.
        ValueError: training mode; with `norm`, another number of channels, no running statistics, or hooks (pruning and
            spectral norm set the weight in one); a single layer without `norm`; a network that cannot be traced.
    """
    if norm is not None:
        check_pair(module, norm)
        return fold(module, norm)
    if type(module) in LAYERS:
        raise ValueError(f"module is a single {type(module).__name__}: give the batch norm that follows it as norm")
    if module.training:
        raise ValueError("module is in training mode, where batch norm depends on the batch: call module.eval() first")
    network = copy.deepcopy(module)
    pairs = list(_pairs(network))
    if defaults := defaults_of(network):
        without = set(_pairs(network, defaults))
        pairs = [pair for pair in pairs if pair in without]
    for layer, following in pairs:
        _log.info("folded %s into %s", following, layer)
        fused = fold(network.get_submodule(layer), network.get_submodule(following))
        network.set_submodule(layer, fused)
        network.set_submodule(following, without_norm(network.get_submodule(following)))
    return network


def defaults_of(network: nn.Module) -> dict[str, Any]:
    """The arguments of the network's `forward` that have defaults: what it computes without them may differ."""
    parameters = signature(network.forward).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not Parameter.empty}


def _pairs(network: nn.Module, arguments: dict[str, Any] | None = None) -> Iterator[tuple[str, str]]:
    """The paths of every layer that can take up a norm, and of the norm, where `forward` gets these arguments."""
    network, tracer = copy.deepcopy(network), _Tracer()
    try:
        graph = tracer.trace(network, concrete_args=arguments)
    except Exception as error:
        raise ValueError(
            f"torch.fx cannot trace {type(network).__name__} ({error}); fuse its parts, or pairs with "
            "fuse_batch_norm(layer, norm)"
        ) from error
    stored = tracer.stored()
    modules: dict[Any, nn.Module] = dict(network.named_modules(remove_duplicate=False))
    calls = [node for node in graph.nodes if node.op == "call_module"]
    places = Counter(modules.values()), Counter(modules[node.target] for node in calls)
    read = {id(attrgetter(node.target)(network)) for node in graph.nodes if node.op == "get_attr"}

    def check_use(path: Any) -> None:
        part = modules[path]
        if any(count[part] > 1 for count in places):
            raise ValueError(f"{path} is used more than once")
        if any(id(value) in read for value in part.state_dict(keep_vars=True).values()):
            raise ValueError(f"the network reads the numbers of {path} itself")
        if tracer.is_opaque(path):
            raise ValueError(f"{path} is in a part that torch.fx cannot trace")

    for node in calls:
        if type(modules[node.target]) not in LAYERS:
            continue
        users = list(node.users)
        try:
            if len(users) != 1 or type(modules.get(users[0].target)) not in norm_types():
                raise ValueError("its output is not for a batch norm alone")
            if node in stored:
                raise ValueError("forward stores its output, which would become that of the batch norm")
            for path in (node.target, users[0].target):
                check_use(path)
            check_pair(modules[node.target], modules[users[0].target])
        except ValueError as error:
            _log.info("left %s: %s", node.target, error)
        else:
            yield node.target, users[0].target


class _Tracer(Tracer):
    proxy_buffer_attributes = True  # so that a use of running statistics is recorded, as one of a parameter is

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Layers and norms are not looked into, nor is what has hooks, which would run on symbols."""
        leaf = type(m) in (*LAYERS, *norm_types()) or has_hooks(m)
        return leaf or super().is_leaf_module(m, module_qualified_name)
