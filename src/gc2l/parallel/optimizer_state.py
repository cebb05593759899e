"""The state of a rank-local network's optimizer: tensors divided as their parameters, and values alike on all ranks."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class OptimizerState:
    """What an optimizer keeps for each parameter.

    Attributes:
        divided: tensors of the shape of their parameter, by key, such as "exp_avg", and name of the parameter.
        alike: numbers that are alike on all ranks, by name of the parameter and key, such as "step".
    """

    divided: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    alike: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_state(network: nn.Module, optimizer: Optimizer) -> OptimizerState:
    """The state of `optimizer`; its tensors share memory.

    Raises:
        ValueError: it keeps something else, such as the factored moments of Adafactor, whose division is not known.
    """
    state = OptimizerState()
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.dim() and value.shape == parameter.shape:
                state.divided.setdefault(key, {})[name] = value
            elif isinstance(value, int | float | None) or (isinstance(value, Tensor) and not value.dim()):
                state.alike.setdefault(name, {})[key] = value
            else:
                form = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise ValueError(
                    f"the state of {type(optimizer).__name__} cannot be divided: {key!r} of {name} is {form}, neither "
                    f"a number nor of the parameter's shape {tuple(parameter.shape)}; take SGD, Adam or AdamW"
                )
    return state


def read_groups(network: nn.Module, optimizer: Optimizer) -> list[dict[str, Any]]:
    """The parameter groups, with names in place of the parameters.

    Raises:
        ValueError: a parameter is not one of `network`.
    """
    names = {parameter: name for name, parameter in network.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter not in names:
                raise ValueError(
                    f"{type(optimizer).__name__} has a parameter {tuple(parameter.shape)} that the network has not; "
                    "was the optimizer made before the network was divided?"
                )
    return [group | {"params": [names[one] for one in group["params"]]} for group in optimizer.param_groups]


def restore(network: nn.Module, optimizer: Optimizer, groups: list[dict[str, Any]], state: OptimizerState) -> None:
    """Replace the state of `optimizer`, and the values of its groups, such as rates, which a schedule goes on from."""
    by_name = {name: dict(values) for name, values in state.alike.items()}
    for key, tensors in state.divided.items():
        for name, value in tensors.items():
            by_name.setdefault(name, {})[key] = value
    own = read_groups(network, optimizer)
    merged = [now | saved | {"params": now["params"]} for now, saved in zip(own, groups, strict=True)]
    optimizer.load_state_dict({"state": by_name, "param_groups": merged})


def check_same_optimizer(
    network: nn.Module, optimizer: Optimizer, name: str | None, groups: list[dict[str, Any]]
) -> None:
    """Compare `optimizer` with the saved one; older checkpoints have neither its name nor those of the parameters.

    Raises:
        ValueError: it is another class, or groups the parameters in another way.
    """
    if name not in (None, type(optimizer).__name__):
        raise ValueError(f"it is of the optimizer {name}, this is {type(optimizer).__name__}")
    own = read_groups(network, optimizer)
    if len(own) != len(groups):
        raise ValueError(f"its optimizer has {len(groups)} parameter groups, this has {len(own)}")
    for number, (now, saved) in enumerate(zip(own, groups, strict=True)):
        differ = set(now["params"]) ^ set(saved.get("params", now["params"]))
        if differ:
            raise ValueError(f"parameter group {number} of its optimizer differs from this one's by {min(differ)}")
