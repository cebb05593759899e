#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11, a CPU with AVX-512 and AMX): conv2d in bfloat16 gives wrong numbers for an image two pixels
# wide with padding 1 and horizontal stride 3, and other wrong numbers in the next run, without a warning.
# Eight pixels wide, or stride 1, it is right up to rounding. Error over the largest value, from float64, for example:
#
#     width 2, stride (1, 3): 0.56 or more, such as 5e+18
#     width 2, stride (1, 1): 0.003
#     width 8, stride (1, 3): 0.003
#
# Exits with 0 as long as that is so; on a CPU whose kernels are others it may not be.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
from torch.nn import functional as F

torch.manual_seed(0)
errors = {}
for width, stride in ((2, (1, 3)), (2, (1, 1)), (8, (1, 3))):
    worst = 0.0
    for _ in range(20):
        x, weight = torch.randn(2, 37, 5, width).bfloat16(), torch.randn(3, 37, 3, 3).bfloat16()
        right = F.conv2d(x.double(), weight.double(), None, stride, 1)
        found = F.conv2d(x, weight, None, stride, 1).double()
        worst = max(worst, float((found - right).abs().max() / right.abs().max()))
    errors[width, stride] = worst
    print(f"width {width}, stride {stride}: {worst:.2g}")
assert errors[2, (1, 3)] > 0.1 and errors[2, (1, 1)] < 0.02 and errors[8, (1, 3)] < 0.02, errors
PROGRAM
