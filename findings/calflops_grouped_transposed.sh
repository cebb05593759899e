#!/usr/bin/env bash
# calflops 0.3.2 with torch 2.13.0 (Python 3.11): the multiplications of a grouped transposed convolution are divided by
# the number of groups twice, once in the shape of the weight, (c_in, c_out / n, k, k), and once more. With n groups it
# counts 1 / n of them. Ungrouped ones and grouped plain convolutions are counted right. Seen:
#
#     groups=1  Conv2d 1.0  ConvTranspose2d 1.0    counted, as a part of what is computed
#     groups=4  Conv2d 1.0  ConvTranspose2d 0.25
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 calflops==0.3.2 \
    transformers==5.24.0
"$folder/venv/bin/python" - <<'PROGRAM'
from calflops import calculate_flops
from torch import nn

found = []
for groups in (1, 4):
    for kind in (nn.Conv2d, nn.ConvTranspose2d):
        layer = kind(16, 32, 3, padding=1, groups=groups, bias=False)
        _, macs, _ = calculate_flops(nn.Sequential(layer), input_shape=(1, 16, 8, 8), print_results=False,
                                     output_as_string=False)
        # Stride 1: input and output have 8 x 8 pixels, and each weight is multiplied once for each.
        found.append(macs / (layer.weight.numel() * 8 * 8))
    print(f"groups={groups}  Conv2d {found[-2]}  ConvTranspose2d {found[-1]}")
assert found == [1, 1, 1, 0.25], found
PROGRAM
