"""What compiled convolutions are compared with."""

import torch
from torch.nn import functional as F


def group_by_group(of, x):
    """The definition, with one standard convolution for each group."""
    n = of.geometry.groups
    x = F.pad(x, of.padding, of.padding_mode).double()
    if of.inputs is not None:
        x = torch.stack([x[:, i] if i >= 0 else torch.zeros_like(x[:, 0]) for i in of.inputs.tolist()], 1)
    settings = of.geometry.stride, of.geometry.padding, of.geometry.dilation

    def each(weight):
        pieces = zip(x.chunk(n, 1), weight.double().chunk(n), strict=True)
        return torch.cat([F.conv2d(part, filters, None, *settings) for part, filters in pieces], 1)

    y = each(of.weight)
    if of.coarse is not None:
        y = y + torch.einsum("oi,bihw->bohw", of.coarse.double(), each(of.restriction))
    if of.outputs is not None:
        y = y[:, of.outputs]
    if of.bias is not None:
        y = y + of.bias.double()[:, None, None]
    return y.clamp(min=0) if of.relu else y


def error(found, expected):
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-3))
