"""ReLUs moved into the compiled layers before them.

A ReLU that is a module and has one place makes room for `nn.Identity`. A part of the network whose `forward` calls ReLU
in another way gets the `forward` that `torch.fx` traced, without the ReLU, if nothing but its one input decides what it
computes.
"""

import copy
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from inspect import Parameter, signature
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from gc2l.edge.layer import InferenceConv2d
from gc2l.models.fusion import defaults_of
from gc2l.models.tracing import Tracer
from gc2l.nn.convolution import has_hooks

_log = logging.getLogger(__name__)
_FUNCTIONS = (F.relu, torch.relu, torch.relu_, F.relu_)


def with_relus(network: nn.Module) -> nn.Module:
    """`network`, in evaluation mode, with the ReLUs that alone use a compiled layer's output inside that layer.

    Returns:
        `network` itself, changed, or a `torch.fx.GraphModule` where its own `forward` calls such a ReLU.
    """
    if defaults := defaults_of(network):
        _log.info("left all ReLUs: with %s the network may compute something else", ", ".join(defaults))
        return network
    traced, tracer = copy.deepcopy(network), _Tracer()
    try:
        graph = _trace(tracer, traced)
    except Exception as error:
        # What fx raises depends on the network's own code.
        _log.info("left all ReLUs: torch.fx cannot trace the network (%s)", error)
        return network
    modules: dict[str, nn.Module] = dict(traced.named_modules(remove_duplicate=False))
    places = Counter(modules.values())
    calls = Counter(modules[str(node.target)] for node in graph.nodes if node.op == "call_module")

    def has_one_place(path: str) -> bool:
        return places[modules[path]] == calls[modules[path]] == 1

    def is_for_sequences_alone(relu: fx.Node) -> bool:
        module = modules[str(relu.target)]
        same = [node for node in graph.nodes if node.op == "call_module" and modules[node.target] is module]
        return all(_is_sequence(modules[_caller(node)]) for node in same)

    taken: list[str] = []
    of_parts: dict[str, list[str]] = defaultdict(list)
    for node, relu in _followed(graph, modules):
        layer = str(node.target)
        if not has_one_place(layer) or tracer.is_opaque(layer):
            continue
        owner, _, name = layer.rpartition(".")
        part = network.get_submodule(owner)
        if relu.op == "call_module" and has_one_place(str(relu.target)):
            network.set_submodule(str(relu.target), nn.Identity())
            taken.append(layer)
        elif not _is_sequence(part):
            of_parts[owner].append(name)
        elif relu.op == "call_module" and _caller(node) == _caller(relu) == owner and is_for_sequences_alone(relu):
            _remove_next_relu(part, name)
            taken.append(layer)
    for owner in sorted(of_parts, key=len, reverse=True):  # parts before those that they are in
        part, moved = _without_relus(network.get_submodule(owner), of_parts[owner])
        taken += [f"{owner}.{name}" if owner else name for name in moved]
        if owner:
            network.set_submodule(owner, part)
        else:
            network = part
    for path in taken:
        of: Any = network.get_submodule(path)
        network.set_submodule(path, InferenceConv2d(of.convolution.with_relu(), of.engine, of).eval())
        _log.info("%s takes up the ReLU after it", path)
    return network


class _Tracer(Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Compiled layers are not looked into, nor is what has hooks, which would run on symbols."""
        return isinstance(m, InferenceConv2d) or has_hooks(m) or super().is_leaf_module(m, module_qualified_name)


class _PartTracer(Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """The parts of a part are called as they are."""
        return True


def _trace(tracer: Tracer, copied: nn.Module) -> fx.Graph:
    """The graph of a copy.

    Raises:
        ValueError: its `forward` keeps something for the next call.
        Exception: what `torch.fx` or the network's code raises.
    """
    before = _state(copied)
    graph = tracer.trace(copied)
    for name, (held, version) in _state(copied).items():
        held_before, version_before = before.get(name, ([], None))
        if version != version_before or list(map(id, held)) != list(map(id, held_before)):
            raise ValueError(f"forward changes {name}")
    if tracer.stored():
        raise ValueError("forward stores what it computes")
    return graph


def _state(network: nn.Module) -> dict[str, tuple[list[Any], int | None]]:
    """For each attribute its value and what it contains, and the version of a tensor.

    Tensors that `torch.fx` itself puts there, as it met them in `forward`, do not count.
    """
    state = {}
    for path, part in network.named_modules():
        for name, value in [*vars(part).items(), *part._parameters.items(), *part._buffers.items()]:
            contents = value.values() if isinstance(value, dict) else value if isinstance(value, list | set) else ()
            if not name.startswith("_tensor_constant"):
                state[f"{path}.{name}"] = [value, *contents], getattr(value, "_version", None)
    return state


def _followed(graph: fx.Graph, modules: dict[str, nn.Module]) -> Iterator[tuple[fx.Node, fx.Node]]:
    """The calls of compiled layers whose output is for a ReLU alone, with the ReLU's."""
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], InferenceConv2d):
            continue
        last = node
        while len(last.users) == 1 and _is(modules, next(iter(last.users)), nn.Identity):
            last = next(iter(last.users))
        users = list(last.users)
        if len(users) == 1 and (_is(modules, users[0], nn.ReLU) or _is_function(users[0])):
            yield node, users[0]


def _without_relus(part: nn.Module, layers: list[str]) -> tuple[nn.Module, list[str]]:
    """A form of `part` without the ReLUs after these of its layers, and the layers of which it is so."""
    parameters = list(signature(part.forward).parameters.values())
    plain = len(parameters) == 1 and parameters[0].kind is Parameter.POSITIONAL_OR_KEYWORD
    if has_hooks(part) or defaults_of(part) or not plain:
        return part, []
    try:
        graph = _trace(_PartTracer(), copy.deepcopy(part))
    except Exception as error:
        _log.info("left the ReLUs of a %s: torch.fx cannot trace it (%s)", type(part).__name__, error)
        return part, []
    if any(node.op == "get_attr" and not _reaches(part, node.target) for node in graph.nodes):
        return part, []  # a number made while it was traced, perhaps at random
    modules = dict(part.named_modules(remove_duplicate=False))
    moved = [(str(node.target), relu) for node, relu in _followed(graph, modules) if node.target in layers]
    for _, relu in moved:
        relu.replace_all_uses_with(relu.all_input_nodes[0])
        graph.erase_node(relu)
    if not moved:
        return part, []
    traced = fx.GraphModule(part, graph, class_name=type(part).__name__)
    for name, value in vars(part).items():
        vars(traced).setdefault(name, value)  # other parts may read its attributes
    return traced.eval(), [layer for layer, _ in moved]


def _caller(node: fx.Node) -> str:
    """The path of the module whose `forward` calls another one."""
    return next((path for path, _ in reversed(node.meta["nn_module_stack"].values()) if path != node.target), "")


def _is_sequence(part: nn.Module) -> bool:
    """Whether a call of `part` calls one module after the other, and nothing else does."""
    return type(part) is nn.Sequential and not has_hooks(part)


def _remove_next_relu(part: nn.Module, layer: str) -> None:
    """Put `nn.Identity` in the place of the sequence after `layer` that has a ReLU; others may have the same ReLU."""
    names = list(part._modules)
    name = next(name for name in names[names.index(layer) + 1 :] if type(part._modules[name]) is nn.ReLU)
    part._modules[name] = nn.Identity()


def _reaches(part: nn.Module, target: Any) -> bool:
    value: Any = part
    for name in str(target).split("."):
        value = getattr(value, name, None)
    return value is not None


def _is(modules: dict[str, nn.Module], node: fx.Node, kind: type[nn.Module]) -> bool:
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    return type(module) is kind and not has_hooks(module)


def _is_function(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    return node.op == "call_function" and node.target in _FUNCTIONS
