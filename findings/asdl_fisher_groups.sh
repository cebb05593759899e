#!/usr/bin/env bash
# asdfghjkl 0.1a5 (imported as asdl) with torch 2.13.0 (Python 3.11): the diagonal of the empirical Fisher information
# has wrong numbers for a grouped convolution. The gradient of each image is computed for the dense weight and then
# viewed in the shape of the grouped one, so that its blocks count as further images. The shape is right, and there is
# no error. Seen, the sum of the diagonal over the sum of the squares of autograd's gradients:
#
#     groups  ratio
#          1  1.00
#          2  1.76
#          8  4.19
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 asdfghjkl==0.1a5
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import torch
from asdl.fisher import FisherConfig, get_fisher_maker
from asdl.matrices import FISHER_EMP, SHAPE_DIAG
from torch import nn
from torch.nn import functional as F

print("groups  ratio")
for groups, seen in ((1, 1.00), (2, 1.76), (8, 4.19)):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=groups), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x, y = torch.randn(5, 8, 6, 6), torch.tensor([0, 1, 2, 0, 1])
    weight = network[0].weight
    expected = torch.zeros_like(weight)
    for image, label in zip(x, y, strict=True):
        expected += torch.autograd.grad(F.cross_entropy(network(image[None]), label[None]), weight)[0] ** 2
    config = FisherConfig(
        fisher_type=FISHER_EMP, fisher_shapes=[SHAPE_DIAG], loss_type="cross_entropy", data_size=1
    )
    maker = get_fisher_maker(network, config)
    logits = maker.setup_model_call(network, x)
    maker.setup_loss_call(F.cross_entropy, logits, y)
    maker.forward_and_backward()
    found = network[0].fisher.diag.weight
    ratio = (found.sum() / expected.sum()).item()
    print(f"{groups:6}  {ratio:.2f}")
    assert found.shape == weight.shape
    assert abs(ratio - seen) < 0.01
PROGRAM
