#!/usr/bin/env bash
# model-compression-toolkit 2.6.1 (Sony's MCT) with torch 2.13.0, CPU (Python 3.11): post-training quantisation of a
# network that calls torch.nn.functional.conv2d loses the stride, padding and dilation that are given by position, as
# nn.Conv2d itself gives them: the call becomes a layer with the defaults. Given by keyword they stay. No message where
# the sizes still fit, as before a global pooling. Seen, largest difference from the network in float32 over its largest
# output, of 8 bits:
#
#     stride  padding  dilation  by keyword  by position
#          1        0         1  below 0.05  below 0.05
#          2        0         1  below 0.05  more than 0.1
#          1        1         1  below 0.05  more than 0.1
#          1        0         2  below 0.05  more than 0.1
#          2        1         1  below 0.05  more than 0.1
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6 model-compression-toolkit==2.6.1 mct-quantizers==1.7.0 edge-mdt-cl==1.1.1 \
  matplotlib==3.9.4 networkx==3.5 onnx==1.23.2 pillow==13.0.0 protobuf==7.36.2 pulp==3.3.2 pydantic==2.11.10 \
  scikit-image==0.26.0 scikit-learn==1.9.1 scipy==1.17.1 tensorboard==2.21.0 tqdm==4.70.1
pip --no-deps torchvision==0.28.0
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PROGRAM' || { cat "$folder/log"; exit 1; }
import contextlib

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:  # its compiled operators do not load beside a CPU build of torch; none of them is used here
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")
import model_compression_toolkit as mct
from torch import nn
from torch.nn import functional as F


class Network(nn.Module):
    def __init__(self, options, by_position):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(8, 8, 3, 3)), nn.Parameter(torch.randn(8))
        self.options, self.by_position = options, by_position

    def forward(self, x):
        if self.by_position:
            y = F.conv2d(x, self.weight, self.bias, *self.options)
        else:
            stride, padding, dilation = self.options
            y = F.conv2d(x, self.weight, self.bias, stride=stride, padding=padding, dilation=dilation)
        return F.relu(y).mean((2, 3))


rows = []
for options in ((1, 0, 1), (2, 0, 1), (1, 1, 1), (1, 0, 2), (2, 1, 1)):
    errors = []
    for by_position in (False, True):
        torch.manual_seed(0)
        x = torch.randn(16, 8, 7, 7)
        network = Network(options, by_position).eval()
        quantised, _ = mct.ptq.pytorch_post_training_quantization(network, lambda x=x: iter([[x.numpy()]]))
        with torch.no_grad():
            expected, found = network(x), quantised(x)
        errors.append(((found - expected).abs().max() / expected.abs().max()).item())
    rows.append((options, *errors))
print("stride  padding  dilation  by keyword  by position")
for (stride, padding, dilation), keyword, position in rows:
    print(f"{stride:6}  {padding:7}  {dilation:8}  {keyword:.3f}       {position:.3f}")
for options, keyword, position in rows:
    assert keyword < 0.05
    assert position < 0.05 if options == (1, 0, 1) else position > 0.1
PROGRAM
