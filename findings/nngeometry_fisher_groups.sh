#!/usr/bin/env bash
# nngeometry 0.4 with torch 2.13.0 (Python 3.11): the Fisher information matrix of a network with a grouped convolution
# has rows for weights that the network has not, and so a wrong size and trace, dense as well as diagonal: the layer's
# groups are not looked at. No error. Seen, for a network with 451 parameters without groups:
#
#     groups  parameters  counted  trace over the sum of squares of autograd's Jacobians
#          1         451      451  1.00
#          2         379      451  1.14
#          4         343      451  1.22
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps nngeometry==0.4 # without torchvision
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import torch
from nngeometry.metrics import FIM
from nngeometry.object import PMatDense, PMatDiag
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

print("groups  parameters  counted  trace, diagonal  dense")
for groups, seen in ((1, 1.00), (2, 1.14), (4, 1.22)):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, groups=groups), nn.Tanh(), nn.Flatten(), nn.Linear(100, 3)
    )
    x = torch.randn(8, 4, 5, 5)
    parameters = tuple(network.parameters())
    expected = sum(
        part.square().sum().item()
        for image in x
        for output in network(image[None])[0]
        for part in torch.autograd.grad(output, parameters, retain_graph=True)
    )
    ratios = []
    for kind in (PMatDiag, PMatDense):
        images = DataLoader(TensorDataset(x), batch_size=4)
        matrix = FIM(network, images, kind, variant="regression", function=lambda *batch: network(batch[0]))
        counted = matrix.generator.layer_collection.numel()
        ratios.append(matrix.trace().item() * len(x) / expected)
    present = sum(parameter.numel() for parameter in parameters)
    print(f"{groups:6}  {present:10}  {counted:7}  {ratios[0]:.2f}             {ratios[1]:.2f}")
    assert counted == 451
    assert max(abs(ratio - seen) for ratio in ratios) < 0.01
PROGRAM
