"""Symbols leave no trace in a network, and do not pass for something else than tensors."""

import pickle

import pytest
import torch
from nn.layers import random_input
from torch import nn
from torch.nn import functional as F

from gc2l.models import fuse_batch_norm


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3).double(), nn.BatchNorm2d(4).double()
        nn.init.uniform_(self.norm.running_mean, -1, 1)
        self.mask = self.last = None
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        return self.norm(self.conv(x))


class Cached(Pair):
    def forward(self, x):
        y = super().forward(x)
        if self.mask is None:
            self.mask = torch.ones_like(y) * 0.5
        return y * self.mask


class Counted(Pair):
    def forward(self, x):
        self.calls += 1
        self.last = super().forward(x)
        return self.last * self.calls


class AsksForTensor(Pair):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y.mean() if isinstance(y, torch.Tensor) else self.norm(y)


class AsksForParameter(Pair):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y.mean() if not isinstance(y, nn.Parameter) else self.norm(y)


class Plain(Pair):
    """Functions of PyTorch ask, too, and get an answer."""

    def forward(self, x):
        y = F.pad(F.interpolate(super().forward(x), scale_factor=2.0), (1, 1))
        return torch.cat([y, torch.zeros_like(y)], 1).flatten(1) + torch.ones(1)


@pytest.mark.parametrize(
    ("kind", "left"), [(Plain, 0), (Cached, 0), (Counted, 0), (AsksForTensor, 1), (AsksForParameter, 1)]
)
def test_what_forward_keeps_and_asks_does_not_matter(kind, left):
    network, x = nn.Sequential(kind()).eval(), random_input(2, 4, 6, 6)
    with torch.no_grad():
        fused = fuse_batch_norm(network)
        pickle.dumps(fused)
        for _ in range(2):
            found = fused(x)
            assert type(found) is torch.Tensor
            torch.testing.assert_close(found, network(x), rtol=1e-9, atol=1e-9)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in fused.modules()) == left
    assert network[0].calls == (2 if kind is Counted else 0)


def test_a_network_that_asks_for_classes_is_named():
    with pytest.raises(ValueError, match=r"cannot trace AsksForTensor .its code asks for the class"):
        fuse_batch_norm(AsksForTensor().eval())
