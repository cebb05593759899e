"""Counting parameters as the paper does."""

from collections.abc import Iterable
from functools import cache

import torch
from torch import nn

from gc2l.cells import ModelConfig
from gc2l.models.build import build_model, paper_network
from gc2l.paper import ReportedRow
from gc2l.paper.parameter_count import ParameterCount

PAPER_CLASSES = {"cifar10": 10, "cifar100": 10, "imagenet": 1000}
"""Classes of the networks whose parameters the tables print: CIFAR-100 stands beside CIFAR-10's count."""


def count_parameters(network: nn.Module, groups: int) -> ParameterCount:
    """Count the parameters of a classifier that runs on `groups` processors.

    Every parameter is split over the processors but the bias of the classifier, the last linear layer: the logits are
    summed over all processors, and each holds the bias.

    Raises:
        ValueError: groups < 1.
    """
    if groups < 1:
        raise ValueError(f"groups={groups} must be at least 1")
    total = sum(parameter.numel() for parameter in network.parameters())
    for module in network.modules():
        nominal = getattr(module, "nominal_parameter_count", None)
        if nominal is not None:
            total += nominal() - sum(parameter.numel() for parameter in module.parameters())
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    shared = linear[-1].bias.numel() if linear and linear[-1].bias is not None else 0
    return ParameterCount(total=total, per_processor=-(-(total - shared) // groups) + shared)


@cache
def model_parameter_count(config: ModelConfig, num_classes: int) -> ParameterCount:
    """The parameters of `build_model(config, num_classes)`, instantiated without memory.

    Raises:
        ValueError: a group count that does not divide the network's channels.
    """
    with torch.device("meta"):
        return count_parameters(build_model(config, num_classes), config.groups)


def paper_parameter_counts(rows: Iterable[ReportedRow]) -> dict[tuple[str, str, int], ParameterCount]:
    """Parameters of the paper's own networks for each (network, variant, groups)."""
    return {
        (row.network, row.variant, row.groups): model_parameter_count(
            paper_network(row.network, row.variant, row.groups), PAPER_CLASSES[row.dataset]
        )
        for row in rows
    }
