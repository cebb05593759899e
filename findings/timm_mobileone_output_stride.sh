#!/usr/bin/env bash
# timm 1.0.31 with torch 2.13.0 (Python 3.11): MobileOne networks made with output_stride=8 leave out two strides, as
# asked, but dilate nothing, so that their depthwise convolutions no longer see what they were trained to see. The
# README says that output_stride works by dilated convolutions; networks that cannot do it refuse the argument. The
# blocks are given the dilation and do not pass it on. RepVGG, of the same file, and MobileNetV2 are right. A dilated
# network computes what the network of stride 32 does, and more in between: with the same weights, every fourth of its
# 12 x 12 outputs in either direction is one of that network's 3 x 3. Seen, largest difference of these over the largest
# value:
#
#     network          dilations  difference
#     mobilenetv2_100  1, 2, 4    below 1e-5
#     repvgg_a0        1, 2       below 1e-5
#     mobileone_s0     1          above 0.05
#     mobileone_s1     1          above 0.05
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6 pillow pyyaml huggingface_hub safetensors==0.8.0
pip --no-deps timm==1.0.31 torchvision==0.28.0
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import contextlib

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:  # its compiled operators do not load beside a CPU build of torch; timm uses none of them
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")
import timm
from torch import nn

torch.manual_seed(0)
image = torch.randn(1, 3, 96, 96)
print("network          dilations  difference")
for name in ("mobilenetv2_100", "repvgg_a0", "mobileone_s0", "mobileone_s1"):
    plain, dilated = (timm.create_model(name, num_classes=0, output_stride=stride).eval() for stride in (32, 8))
    for norm in plain.modules():
        if isinstance(norm, nn.BatchNorm2d):  # as after training, no part of the network is without an effect
            nn.init.ones_(norm.weight)
            norm.running_var.uniform_(0.5, 1.5)
    dilated.load_state_dict(plain.state_dict())
    with torch.no_grad():
        expected, found = plain.forward_features(image), dilated.forward_features(image)
    assert expected.shape[2:] == (3, 3)
    assert found.shape[2:] == (12, 12)
    error = ((found[..., ::4, ::4] - expected).abs().max() / expected.abs().max()).item()
    dilations = sorted({conv.dilation[0] for conv in dilated.modules() if isinstance(conv, nn.Conv2d)})
    print(f"{name:15}  {', '.join(map(str, dilations)):9}  {error:.1e}")
    assert error > 0.05 if "mobileone" in name else error < 1e-5
    assert (dilations == [1]) == ("mobileone" in name)
PROGRAM
