#!/usr/bin/env bash
# peft 0.21.2 with torch 2.13.0 (Python 3.11): LoRA on a Conv2d with another padding_mode than "zeros" computes one
# thing while it is trained and another once it is merged. The adapter's first convolution takes the layer's stride and
# padding, but not its padding_mode, and pads with zeros; merged into the layer's weight, the same numbers are applied
# to reflected (or circular, or replicated) pixels. No warning. (The dilation is not taken either:
# huggingface/peft#3697.) Largest difference of outputs of size 1, seen:
#
#     zeros      below 1e-5
#     reflect    above 0.1
#     circular   above 0.1
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
from peft import LoraConfig, get_peft_model
from torch import nn

x = torch.randn(2, 16, 8, 8)
for padding_mode in ("zeros", "reflect", "circular"):
    network = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, padding_mode=padding_mode))
    adapted = get_peft_model(network, LoraConfig(r=4, target_modules=["0"], init_lora_weights=False)).eval()
    with torch.no_grad():
        expected = adapted(x)
        difference = ((adapted.merge_and_unload()(x) - expected).abs().max() / expected.std()).item()
    print(f"{padding_mode:<9} {difference:.1e}")
    assert difference < 1e-5 if padding_mode == "zeros" else difference > 0.1
PROGRAM
