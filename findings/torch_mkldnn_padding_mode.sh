#!/usr/bin/env bash
# torch 2.13.0, CPU (Python 3.11): torch.utils.mkldnn.to_mkldnn, and torch.fx.experimental.optimization's
# optimize_for_inference, which uses it, replace a convolution and leave out its padding_mode: what was padded with
# copies of the image is padded with zeros. The shape is right, there is no warning. Seen, with 1 and 4 groups, largest
# difference from the convolution of the image padded beforehand, over its largest output:
#
#     padding_mode  itself      to_mkldnn      optimize_for_inference
#     zeros         below 1e-6  below 1e-6     below 1e-6
#     circular      below 1e-6  more than 0.1  more than 0.1
#     reflect       below 1e-6  more than 0.1  more than 0.1
#     replicate     below 1e-6  more than 0.1  more than 0.1
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import copy

import torch
from torch import nn
from torch.fx.experimental.optimization import optimize_for_inference
from torch.nn import functional as F
from torch.utils.mkldnn import to_mkldnn

torch.manual_seed(0)
x = torch.randn(2, 8, 6, 6)
print("padding_mode  groups  itself   to_mkldnn  optimize_for_inference")
for mode in ("zeros", "circular", "reflect", "replicate"):
    for groups in (1, 4):
        conv = nn.Conv2d(8, 8, 3, padding=1, groups=groups, padding_mode=mode).requires_grad_(False)
        network = nn.Sequential(conv, nn.ReLU(), nn.Conv2d(8, 8, 1).requires_grad_(False)).eval()
        padded = F.pad(x, (1, 1, 1, 1), "constant" if mode == "zeros" else mode)
        expected = network[2](F.relu(F.conv2d(padded, conv.weight, conv.bias, groups=groups)))
        found = (
            network(x),
            to_mkldnn(copy.deepcopy(network))(x.to_mkldnn()).to_dense(),
            optimize_for_inference(copy.deepcopy(network))(x),
        )
        itself, *others = (((one - expected).abs().max() / expected.abs().max()).item() for one in found)
        print(f"{mode:12}  {groups:6}  {itself:.1e}  {others[0]:.1e}    {others[1]:.1e}")
        assert itself < 1e-6
        assert max(others) < 1e-6 if mode == "zeros" else min(others) > 0.1
PROGRAM
