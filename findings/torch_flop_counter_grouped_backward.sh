#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11): FlopCounterMode counts the backward pass of a grouped convolution as if its weight gradient
# were that of a dense one. With n groups the weight gradient costs as much as the forward pass, but is counted n times.
# Forward pass and input gradient are counted right, and so is all of an ungrouped convolution. Seen:
#
#     groups=1   weight gradient counted 1.0 times
#     groups=4   weight gradient counted 4.0 times
#     groups=16  weight gradient counted 16.0 times
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

ratios = []
for groups in (1, 4, 16):
    conv = nn.Conv2d(16, 32, 3, padding=1, groups=groups, bias=False)
    with FlopCounterMode(display=False) as forward:
        y = conv(torch.randn(1, 16, 8, 8))  # an input that needs no gradient: backward is the weight gradient alone
    with FlopCounterMode(display=False) as backward:
        y.sum().backward()
    true = 2 * conv.weight.numel() * 8 * 8  # each weight is multiplied once for each pixel
    assert forward.get_total_flops() == true
    ratios.append(backward.get_total_flops() / true)
    print(f"groups={groups:<2}  weight gradient counted {ratios[-1]} times")
assert ratios == [1, 4, 16], ratios
PROGRAM
