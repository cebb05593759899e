#!/usr/bin/env bash
# peft 0.21.2 with torch 2.13.0 (Python 3.11): an OFT adapter whose rotation is still the identity, as it is when it has
# just been added, already changes what a 3 x 3 convolution computes. The input is cut into overlapping 3 x 3 patches,
# rotated, and put together again with torch.nn.functional.fold, which adds the patches up: a pixel that lies in nine
# patches comes out nine times as large. A 1 x 1 convolution is unchanged, and so is either one after merging. No warning.
# Largest change of the outputs, divided by their standard deviation, seen:
#
#     kernel 1 x 1   with the adapter 0.0          merged 0.0
#     kernel 3 x 3   with the adapter more than 5  merged 0.0
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 peft==0.21.2 \
    transformers==5.24.0
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
from peft import OFTConfig, get_peft_model
from torch import nn

torch.manual_seed(0)
x = torch.randn(2, 16, 8, 8)
for kernel in (1, 3):
    network = nn.Sequential(nn.Conv2d(16, 32, kernel, padding=kernel // 2))
    with torch.no_grad():
        expected = network(x)
        adapted = get_peft_model(network, OFTConfig(target_modules=["0"], r=0, oft_block_size=4)).eval()
        change = ((adapted(x) - expected).abs().max() / expected.std()).item()
        merged = ((adapted.merge_and_unload()(x) - expected).abs().max() / expected.std()).item()
    print(f"kernel {kernel} x {kernel}   with the adapter {change:.1f}  merged {merged:.1f}")
    assert merged < 1e-5
    assert change < 1e-5 if kernel == 1 else change > 5
PROGRAM
