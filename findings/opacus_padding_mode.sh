#!/usr/bin/env bash
# opacus 1.6.0 with torch 2.13.0 (Python 3.11): the gradient of each sample that GradSampleModule finds for the weight
# of a convolution is wrong for another padding_mode than "zeros", grouped or not. Forward pass and the usual gradient
# use the reflected (or circular, or replicated) pixels, grad_sample uses zeros in their place. Training with
# differential privacy clips and sums these gradients. No warning, and ModuleValidator finds no fault. Seen, largest
# difference from one backward pass a sample, over the largest value, in float64:
#
#     groups  zeros     reflect   circular  replicate
#          1  below 1e-9, others above 0.1
#          4  below 1e-9, others above 0.1
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 opacus==1.6.0
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
from opacus.grad_sample import GradSampleModule
from opacus.validators import ModuleValidator
from torch import nn

torch.manual_seed(0)
x = torch.randn(3, 8, 6, 6, dtype=torch.float64)


def error(groups, padding_mode):
    conv = nn.Conv2d(8, 16, 3, padding=1, groups=groups, padding_mode=padding_mode).double()
    right = []
    for image in x.split(1):
        right.append(torch.autograd.grad(conv(image).square().sum(), conv.weight)[0])
    assert not ModuleValidator.validate(conv)
    wrapped = GradSampleModule(conv, loss_reduction="sum")
    wrapped(x).square().sum().backward()
    right = torch.stack(right)
    # The sum over the samples, which autograd computes beside them, is right in every mode.
    assert torch.allclose(conv.weight.grad, right.sum(0))
    return ((conv.weight.grad_sample - right).abs().max() / right.abs().max()).item()


modes = ("zeros", "reflect", "circular", "replicate")
print("groups  " + "".join(f"{mode:<10}" for mode in modes))
for groups in (1, 4):
    errors = [error(groups, mode) for mode in modes]
    print(f"{groups:6}  " + "".join(f"{value:<10.1e}" for value in errors))
    assert errors[0] < 1e-9 and min(errors[1:]) > 0.1
PROGRAM
