#!/usr/bin/env bash
# openvino 2026.4.1 with torch 2.13.0 (Python 3.11, CPU): a 1 x 1 convolution with a stride and with padding is computed
# wrong wherever it is not the first operation, as behind the depthwise convolution of a separable one. To save work its
# stride is handed to what comes before it, as if it had no padding: the padding is then laid around the thinned image,
# and the pixels taken are others. The result is too large, or has wrong numbers where a mean over the image follows. No
# message. Grouped 1 x 1 convolutions are left alone and right. Seen for a depthwise 3 x 3 one and then a 1 x 1 one, 8
# to 8 channels, image of 8 x 8:
#
#     the 1 x 1 one             output (PyTorch's)  mean over the image, largest error over the largest value
#     groups  stride  padding
#          1       2        0    4 (4)              below 1e-5
#          1       1        1   10 (10)             below 1e-5
#          1       2        1    6 (5)              above 0.01
#          1       3        1    5 (4)              above 0.01
#          2       2        1    5 (5)              below 1e-5
#          8       2        1    5 (5)              below 1e-5
#          1       2        1    5 (5), alone       below 1e-5
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

CASES = (  # is something before it?, groups, stride, padding, size by OpenVINO, is it right?
    (True, 1, 2, 0, 4, True),
    (True, 1, 1, 1, 10, True),
    (True, 1, 2, 1, 6, False),
    (True, 1, 3, 1, 5, False),
    (True, 2, 2, 1, 5, True),
    (True, 8, 2, 1, 5, True),
    (False, 1, 2, 1, 5, True),
)


def converted(network, x):
    """What the converted network returns."""
    model = openvino.convert_model(network, example_input=x, input=[list(x.shape)])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return torch.tensor(openvino.compile_model(model, "CPU", options)(x.numpy())[0])


def by_hand(conv, image):
    """A 1 x 1 convolution in float64: pad, take every stride-th pixel, multiply by the block-diagonal matrix."""
    image = F.pad(image.double(), 4 * conv.padding[:1])[..., :: conv.stride[0], :: conv.stride[0]]
    matrix = torch.block_diag(*conv.weight.double().flatten(1).chunk(conv.groups))
    return torch.einsum("oi,bihw->bohw", matrix, image) + conv.bias.double()[:, None, None]


torch.manual_seed(0)
x = torch.randn(1, 8, 8, 8)
depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8).requires_grad_(False)
print("behind one  groups  stride  padding  size (right one)  error of the mean")
for behind, groups, stride, padding, size, right in CASES:
    conv = nn.Conv2d(8, 8, 1, stride=stride, padding=padding, groups=groups).requires_grad_(False)
    network = nn.Sequential(*([depthwise] if behind else []), conv).eval()
    expected = by_hand(conv, depthwise(x) if behind else x)
    assert torch.allclose(network(x).double(), expected, atol=1e-5)
    found, mean = converted(network, x), expected.mean((2, 3), keepdim=True)
    pooled = converted(nn.Sequential(network, nn.AdaptiveAvgPool2d(1)), x)
    error = ((pooled - mean).abs().max() / mean.abs().max()).item()
    sizes = f"{found.shape[-1]} ({expected.shape[-1]})"
    print(f"{behind!s:10}  {groups:6}  {stride:6}  {padding:7}  {sizes:16}  {error:.1e}")
    assert found.shape[-1] == size
    assert (size == expected.shape[-1]) == right
    assert error < 1e-5 if right else error > 0.01
PROGRAM
