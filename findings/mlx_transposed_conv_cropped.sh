#!/usr/bin/env bash
# MLX 0.32.4 on a CPU (Linux, Python 3.11): transposed convolutions whose padding reaches beyond the kernel, grouped or
# not, have too small an output, and those whose output padding is larger than their padding a gradient with respect to
# the input that is smaller than the input. No error is raised. MLX computes both as convolutions with negative padding,
# and crops by it before the input is dilated by the stride, not after. Seen, 8 x 8 pixels, 8 to 8 channels, stride 2,
# the size that PyTorch 2.13.0 gives in brackets:
#
#     kernel  padding, of the output  groups  output   gradient
#      3 x 3        1,             1       4  16 (16)  8 (8)
#      1 x 1        1,             0       1  11 (13)  8 (8)
#      1 x 1        1,             0       4  11 (13)  8 (8)
#      2 x 2        0,             1       1  17 (17)  7 (8)
#      2 x 2        0,             1       4  17 (17)  7 (8)
#
# Exits with 0 as long as that rule says which of the outputs and gradients agree with PyTorch's, in their values too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "mlx[cpu]==0.32.4" torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import mlx.core as mx
import numpy as np
import torch

CHANNELS, PIXELS, STRIDE = 8, 8, 2
torch.manual_seed(0)
print("kernel  padding, of the output  groups  output   gradient")
for kernel, padding, output_padding, groups in ((3, 1, 1, 4), (1, 1, 0, 1), (1, 1, 0, 4), (2, 0, 1, 1), (2, 0, 1, 4)):
    options = {"stride": STRIDE, "padding": padding, "output_padding": output_padding, "groups": groups}
    share = CHANNELS // groups
    x = torch.randn(2, CHANNELS, PIXELS, PIXELS, requires_grad=True)
    weight = torch.randn(CHANNELS, share, kernel, kernel)
    expected = torch.nn.functional.conv_transpose2d(x, weight, **options)
    (expected_gradient,) = torch.autograd.grad(expected, x, torch.ones_like(expected))

    # MLX has the channels last, and weights (output channels, kernel, input channels of a group).
    by_output = weight.reshape(groups, share, share, kernel, kernel).permute(0, 2, 3, 4, 1)
    by_output = mx.array(by_output.reshape(CHANNELS, kernel, kernel, share).contiguous().numpy())
    image = mx.array(x.detach().permute(0, 2, 3, 1).contiguous().numpy())

    def convolved(image):
        return mx.conv_transpose2d(image, by_output, **options)

    output = convolved(image)
    gradient = mx.vjp(convolved, [image], [mx.ones(output.shape)])[1][0]
    print(
        f"{f'{kernel} x {kernel}':>6}  {padding:7},{output_padding:14}  {groups:6}"
        f"  {output.shape[1]} ({expected.shape[2]})  {gradient.shape[1]} ({PIXELS})"
    )
    pairs = (output, expected.detach()), (gradient, expected_gradient)
    agrees = [
        found.shape[1:3] == wanted.shape[2:]
        and np.allclose(np.array(found), wanted.permute(0, 2, 3, 1).numpy(), atol=1e-4)
        for found, wanted in pairs
    ]
    assert agrees == [padding < kernel, output_padding <= padding], agrees
PROGRAM
