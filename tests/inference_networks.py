"""Networks as after training, and how far a compiled one is from them."""

import copy

import torch
from torch import nn

RELATIVE = 1e-4


def trained(network):
    """Norms as after training: with weights and statistics that folding must not lose."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for value, low, high in ((part.weight, 0.5, 2), (part.running_var, 0.5, 2), (part.bias, -1, 1)):
                nn.init.uniform_(value, low, high)
            nn.init.uniform_(part.running_mean, -1, 1)
    return network.eval()


def deviation(found, network, x):
    with torch.no_grad():
        expected = copy.deepcopy(network).double()(x.double())
    return float((found - expected).norm() / expected.norm())
