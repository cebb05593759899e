#!/usr/bin/env bash
# torch 2.13.0 (and 2.14.1; Python 3.11, CPU, with a C++ compiler): torch.compile with TORCHINDUCTOR_FREEZING=1, that is
# torch._inductor.config.freezing, folds the batch norm after a transposed convolution into the wrong dimension of the
# weight, and the compiled network returns wrong numbers without a warning. The weight of a transposed convolution is
# (c_in, c_out / n, k, k), and the c_out factors of the batch norm are laid along its first dimension: so wherever
# c_in = c_out. A depthwise one is right, as its first dimension has the output channels, and where the numbers differ
# (8 -> 4) nothing is folded. Seen, largest difference from the network itself over the largest value:
#
#     layer                        without freezing  freezing
#     Conv2d           8 -> 8, n=1   below 1e-5      below 1e-5
#     ConvTranspose2d  8 -> 8, n=1   below 1e-5      0.29
#     ConvTranspose2d  8 -> 8, n=2   below 1e-5      0.40
#     ConvTranspose2d  8 -> 8, n=8   below 1e-5      below 1e-5
#     ConvTranspose2d  8 -> 4, n=1   below 1e-5      below 1e-5
#
# Exits with 0 as long as the second and third are wrong by more than 0.1 and the others right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TORCHINDUCTOR_CACHE_DIR=$folder/cache
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
import torch._inductor.config
from torch import nn


def error(kind, channels, groups, freezing):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(channels[1])
    nn.init.uniform_(norm.weight, 0.5, 2)
    network = nn.Sequential(kind(*channels, 3, groups=groups, bias=False), norm).eval()
    x = torch.randn(2, channels[0], 6, 6)
    torch.compiler.reset()
    with torch.no_grad(), torch._inductor.config.patch(freezing=freezing):
        found, expected = torch.compile(network)(x), network(x)
    return float((found - expected).abs().max() / expected.abs().max())


wrong = [(nn.ConvTranspose2d, (8, 8), 1), (nn.ConvTranspose2d, (8, 8), 2)]
right = [(nn.Conv2d, (8, 8), 1), (nn.ConvTranspose2d, (8, 8), 8), (nn.ConvTranspose2d, (8, 4), 1)]
for layer in wrong + right:
    plain, frozen = error(*layer, False), error(*layer, True)
    print(layer[0].__name__, *layer[1:], f"{plain:.1e} {frozen:.1e}")
    assert plain < 1e-5 and (frozen > 0.1 if layer in wrong else frozen < 1e-5)
PROGRAM
