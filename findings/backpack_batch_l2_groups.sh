#!/usr/bin/env bash
# backpack-for-pytorch 1.7.1 with torch 2.13.0 (Python 3.11): BatchL2Grad, the squared norm of each sample's gradient,
# is that of the ungrouped convolution for the weight of a grouped one: it adds the products of every group's outputs
# with every group's inputs, n times as many as there are weights. No warning. The norms decide by how much a sample is
# clipped, or whether it is taken. BatchGrad, the gradients themselves, is right for the same layers. Seen for 16 to 16
# channels, transposed or not, batch_l2 over the squared norm of BatchGrad's gradients, mean over the samples:
#
#     groups=1  1.0      groups=2  1.9      groups=4  3.5      groups=16  9.5
#
# Exits with 0 as long as batch_l2 is the norm for one group and that of the ungrouped convolution for more, and
# BatchGrad is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 numpy==2.4.6 \
    backpack-for-pytorch==1.7.1
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import torch
from backpack import backpack, extend
from backpack.extensions import BatchGrad, BatchL2Grad
from torch import nn

torch.manual_seed(0)
images, targets = torch.randn(8, 16, 6, 6).double(), torch.randn(8, 16, 6, 6).double()


def loss(layer, sample):
    return (layer(images[sample]) - targets[sample]).square().sum()


def squared_norms(layer):
    """Of each sample's gradient, by one backward pass a sample, and the gradients."""
    gradients = torch.stack([torch.autograd.grad(loss(layer, [i]), layer.weight)[0] for i in range(8)])
    return gradients.square().flatten(1).sum(1), gradients


for kind in (nn.Conv2d, nn.ConvTranspose2d):
    for groups in (1, 2, 4, 16):
        layer = kind(16, 16, 3, padding=1, groups=groups, bias=False).double()
        right, gradients = squared_norms(layer)
        dense = kind(16, 16, 3, padding=1, bias=False).double()
        with torch.no_grad():  # the same layer, ungrouped: blocks on the diagonal of channels, zeros elsewhere
            own = 16 // groups
            dense.weight.zero_()
            for first in range(0, 16, own):
                block = slice(first, first + own)
                dense.weight[block, block] = layer.weight[block]
        error = extend(nn.MSELoss(reduction="sum"))
        network = extend(nn.Sequential(layer))
        with backpack(BatchGrad(), BatchL2Grad()):
            error(network(images), targets).backward()
        assert torch.allclose(layer.weight.grad_batch, gradients)
        ratio = (layer.weight.batch_l2 / right).mean().item()
        print(f"{kind.__name__}  groups={groups}  {ratio:.3f}")
        assert torch.allclose(layer.weight.batch_l2, squared_norms(dense)[0])
        assert abs(ratio - 1) < 1e-9 if groups == 1 else ratio > groups / 2
PROGRAM
