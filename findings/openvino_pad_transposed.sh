#!/usr/bin/env bash
# openvino 2026.4.1 with torch 2.13.0 (Python 3.11, CPU): the converter makes another network of a zero padding before a
# transposed convolution with a stride, grouped, depthwise or not. It takes the padding out and lessens the
# convolution's own by it, as for a plain convolution. One row of zeros more at the input of a transposed convolution
# makes `stride` rows more at its output, not one. The result is too small, or, where something later such as a mean
# over the image hides that, has wrong numbers. No message. Where nothing can be taken off (padding=0 of the
# convolution), with stride=1, or where other numbers than zeros are padded, it is right. Seen, for an image of 6 x 6,
# ZeroPad2d(1) and ConvTranspose2d(8, 8, 3, stride, padding), with 1, 2 and 8 groups:
#
#     padded with  stride  padding  output (PyTorch's)  mean over the image, largest error over the largest value
#     zeros             1        1    8 (8)             below 1e-5
#     zeros             2        0   17 (17)            below 1e-5
#     zeros             2        1   13 (15)            above 1e-3
#     zeros             2        2   11 (13)            above 1e-3
#     zeros             3        1   18 (22)            above 1e-3
#     ones              2        1   15 (15)            below 1e-5
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 openvino==2026.4.1
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import openvino
import torch
from torch import nn
from torch.nn import functional as F

CASES = (  # value that is padded with, stride, padding of the convolution, is the result right?
    (0.0, 1, 1, True),
    (0.0, 2, 0, True),
    (0.0, 2, 1, False),
    (0.0, 2, 2, False),
    (0.0, 3, 1, False),
    (1.0, 2, 1, True),
)


def converted(network, x):
    """What the converted network returns."""
    model = openvino.convert_model(network, example_input=x, input=[list(x.shape)])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return torch.tensor(openvino.compile_model(model, "CPU", options)(x.numpy())[0])


torch.manual_seed(0)
x = torch.randn(1, 8, 6, 6)
print("padded with  groups  stride  padding  size (PyTorch's)  error of the mean")
for value, stride, padding, right in CASES:
    for groups in (1, 2, 8):
        conv = nn.ConvTranspose2d(8, 8, 3, stride=stride, padding=padding, groups=groups).requires_grad_(False)
        network = nn.Sequential(nn.ConstantPad2d(1, value), conv).eval()
        with_mean = nn.Sequential(network, nn.AdaptiveAvgPool2d(1))
        by_hand = F.pad(x, (1, 1, 1, 1), value=value)  # in float64, one group at a time
        blocks = zip(by_hand.double().chunk(groups, 1), conv.weight.double().chunk(groups), strict=True)
        parts = [F.conv_transpose2d(image, weight, None, stride, padding) for image, weight in blocks]
        expected = torch.cat(parts, 1) + conv.bias.double()[:, None, None]
        assert torch.allclose(network(x).double(), expected, atol=1e-5)
        found, mean = converted(network, x), expected.mean((2, 3), keepdim=True)
        error = ((converted(with_mean, x) - mean).abs().max() / mean.abs().max()).item()
        sizes = f"{found.shape[-1]} ({expected.shape[-1]})"
        print(f"{value:11.0f}  {groups:6}  {stride:6}  {padding:7}  {sizes:16}  {error:.1e}")
        lost = 0 if right else 2 * (stride - 1)
        assert found.shape[-1] == expected.shape[-1] - lost
        assert error < 1e-5 if right else error > 1e-3
PROGRAM
