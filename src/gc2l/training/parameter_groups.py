"""The parameters of a network in groups of one learning rate and weight decay each, as SGD takes them."""

from typing import Any

from torch import nn

from gc2l.cells import TrainingConfig

COARSE_LEVEL = ("restriction_weight", "coarse_weight")
"""Names of r and C in `gc2l.nn.TwoLevelGroupConv2d`."""

ASSIGNMENT = ("input_logits", "output_logits")
"""Names of S and T in `gc2l.nn.LearnableGroupConv2d`."""

_UNDECAYED = {"nothing": (), "coarse_level": COARSE_LEVEL, "assignment": ASSIGNMENT}


def parameter_groups(network: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """The groups of the optimizer, that of the network's first parameter first.

    Args:
        network: its layers have the parameter names of `gc2l.nn`.
        config: the rate, the decay, and what differs from them.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        own = name.rpartition(".")[2]
        rate = config.learning_rate * (config.assignment_rate if own in ASSIGNMENT else 1)
        decay = 0.0 if own in _UNDECAYED[config.undecayed] else config.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()]
