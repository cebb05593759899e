#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11, x86): a quantised ConvTranspose2d whose groups have other numbers of input than of output
# channels, both more than one, returns numbers that have nothing to do with the layer on the engine "onednn", grouped
# or not, without a warning. "fbgemm" is right, and so is onednn where the two numbers are the same or one of them is 1.
# The default engine, "x86", uses onednn's on processors with AVX-512 VNNI; the error itself is the same with oneDNN
# restricted to SSE 4.1, AVX2 or AVX-512 (ONEDNN_MAX_CPU_ISA). Seen, largest difference from the same quantised input
# and weight in float64, in steps of the output's scale (0.5 is rounding):
#
#     channels of a group, in x out  groups  fbgemm  onednn
#                             8 x 8       1     0.5     0.5
#                             8 x 4       1     0.5      77
#                             2 x 4       4     0.5      99
#                             8 x 4       4     0.5     123
#                             1 x 2      16     0.5     0.5
#
# Exits with 0 as long as wrong ones are off by more than 10 steps, and the others by 2 at most.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import torch
from torch import nn
from torch.ao import quantization
from torch.nn import functional as F

torch.manual_seed(0)


def error(c_in, c_out, groups, engine):
    torch.backends.quantized.engine = engine
    layer = nn.ConvTranspose2d(groups * c_in, groups * c_out, 3, groups=groups)
    network = nn.Sequential(quantization.QuantStub(), layer, quantization.DeQuantStub()).eval()
    # Activations in 7 bits, so that no engine's 16-bit sums overflow.
    activation = quantization.MinMaxObserver.with_args(reduce_range=True)
    network.qconfig = quantization.QConfig(activation, quantization.default_weight_observer)
    x = torch.randn(2, groups * c_in, 8, 8)
    prepared = quantization.prepare(network)
    prepared(x)
    stub, layer, _ = quantised = quantization.convert(prepared)
    weight, bias = layer.weight().dequantize().double(), layer.bias().double()
    right = F.conv_transpose2d(stub(x).dequantize().double(), weight, bias, groups=groups)
    return (quantised(x).double() - right).abs().max().item() / layer.scale


print("channels of a group, in x out  groups  fbgemm  onednn")
for c_in, c_out, groups in ((8, 8, 1), (8, 4, 1), (2, 4, 4), (8, 4, 4), (1, 2, 16)):
    fbgemm, onednn = (error(c_in, c_out, groups, engine) for engine in ("fbgemm", "onednn"))
    print(f"{f'{c_in} x {c_out}':>29}  {groups:6}  {fbgemm:6.2g}  {onednn:6.3g}")
    assert fbgemm <= 2
    assert onednn <= 2 if c_in == c_out or 1 in (c_in, c_out) else onednn > 10
PROGRAM
