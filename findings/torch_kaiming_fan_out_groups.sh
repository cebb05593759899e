#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11): init.kaiming_normal_(conv.weight, mode="fan_out"), which is to keep the size of gradients in
# the backward pass, makes them n times too small in variance for a grouped convolution: it takes k k c_out for the
# fan-out, but an input channel reaches only the c_out / n output channels of its group. mode="fan_in" is right, as the
# weight's second dimension is c_in / n already. Variance of the input's gradient for a gradient of variance 1 at the
# output (after a linear layer, so with nonlinearity="linear"), seen up to a few per cent:
#
#     groups=1   1.00        groups=4   0.25        groups=16  0.06
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

torch.manual_seed(0)
for groups in (1, 4, 16):
    conv = nn.Conv2d(64, 128, 3, padding=1, padding_mode="circular", groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="linear")
    x = torch.randn(4, 64, 32, 32, requires_grad=True)
    y = conv(x)
    y.backward(torch.randn_like(y))
    variance = x.grad.var().item()
    print(f"groups={groups:<2}  {variance:.2f}")
    assert 0.9 < variance * groups < 1.1
PROGRAM
