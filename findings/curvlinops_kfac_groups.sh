#!/usr/bin/env bash
# curvlinops-for-pytorch 3.0.1 with torch 2.13.0 (Python 3.11): KFAC of a grouped convolution is n times too small. It
# averages the inputs of the n groups before it multiplies them with themselves, which leaves 1 / n of their second
# moment when the groups' inputs are independent. No warning. Here 3 x 3 filters on images of 3 x 3 pixels, with the
# squared error: one output pixel, for which KFAC of an ungrouped layer is exact. Trace over the trace of the
# generalised Gauss-Newton matrix itself, seen up to a few per cent:
#
#     groups=1  1.000      groups=2  0.49      groups=4  0.26      groups=8  0.12
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 \
    curvlinops-for-pytorch==3.0.1
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import torch
from curvlinops import GGNLinearOperator, KFACLinearOperator
from torch import nn

torch.manual_seed(0)
for groups in (1, 2, 4, 8):
    network = nn.Sequential(nn.Conv2d(8, 8, 3, groups=groups, bias=False), nn.Flatten()).double()
    data = [(torch.randn(256, 8, 3, 3).double(), torch.randn(256, 8).double())]
    problem = network, nn.MSELoss(), list(network.parameters()), data
    exact, kfac = GGNLinearOperator(*problem), KFACLinearOperator(*problem, fisher_type="type-2")
    identity = torch.eye(exact.shape[1], dtype=torch.float64)
    # By hand: the mean squared error of 8 outputs has the second derivative 2 / 8, and each of the 8 output channels
    # has the second moment of its group's inputs.
    by_hand = 2 / 8 * 8 / groups * data[0][0].square().sum().item() / 256
    trace = (exact @ identity).trace().item()
    assert abs(trace / by_hand - 1) < 1e-6
    ratio = (kfac @ identity).trace().item() / trace
    print(f"groups={groups}  {ratio:.3f}")
    assert abs(ratio * groups - 1) < (1e-6 if groups == 1 else 0.1)
PROGRAM
