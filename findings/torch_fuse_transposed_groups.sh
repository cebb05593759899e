#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11): fuse_conv_bn_eval(conv, bn, transpose=True) does not know groups. The weight of a transposed
# convolution is (c_in, c_out / n, k, k), and the c_out factors of the batch norm are laid along its second dimension,
# which has c_out channels only for n = 1. For 1 < n < c_out it stops with an error about sizes. For a depthwise one it
# returns a layer whose weight has grown from (c, 1, k, k) to (c, c, k, k), and which fails when it is called. Plain
# convolutions are fused right whatever their groups. Seen:
#
#     groups=1  fused, as it should be
#     groups=2  RuntimeError: The size of tensor a (4) must match the size of tensor b (8) at non-singleton dimension 1
#     groups=8  fused weight (8, 8, 3, 3) in place of (8, 1, 3, 3); calling it: RuntimeError
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
from torch.nn.utils.fusion import fuse_conv_bn_eval

x, norm = torch.randn(2, 8, 5, 5), nn.BatchNorm2d(8).eval()
for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
    nn.init.uniform_(value, 0.5, 2)


def outcome(groups):
    conv = nn.ConvTranspose2d(8, 8, 3, groups=groups).eval()
    try:
        fused = fuse_conv_bn_eval(conv, norm, transpose=True)
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    try:
        assert torch.allclose(fused(x), norm(conv(x)), atol=1e-4)
    except RuntimeError:
        return f"fused weight {tuple(fused.weight.shape)} in place of {tuple(conv.weight.shape)}; calling it: RuntimeError"
    return "fused, as it should be"


found = {groups: outcome(groups) for groups in (1, 2, 8)}
for groups, text in found.items():
    print(f"groups={groups}  {text}")
assert found[1] == "fused, as it should be"
assert found[2].startswith("RuntimeError: The size of tensor a")
assert found[8] == "fused weight (8, 8, 3, 3) in place of (8, 1, 3, 3); calling it: RuntimeError"
PROGRAM
