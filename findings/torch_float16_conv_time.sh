#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11, a CPU with AVX512-FP16): convolutions in float16 take over a hundred times as long as in
# float32, but only some passes. The weight gradient always does, whatever the groups. The forward pass of a transposed
# convolution with stride 2 does with 4 groups, not with 2. PyTorch passes them all to oneDNN, which has no kernel for
# these and runs its reference implementation. PyTorch's own kernels, without oneDNN, take a fraction of that for the
# same numbers. torch.autocast("cpu", torch.float16) is documented, for training too. No warning. For example, 64
# channels, 3 x 3, 2 images of 16 x 16, one thread, in ms of the processor:
#
#     pass                           groups  float32  float16  float16 without oneDNN
#     forward, conv2d                     4      0.1      0.2                       4
#     weight gradient, conv2d             1      0.3       95                       3
#     weight gradient, conv2d             4      0.1       25                       1
#     forward, transposed, stride 2       2      0.4      0.4                       6
#     forward, transposed, stride 2       4      0.2       30                       4
#
# Other processors were not tried, and end it with 3. Exits with 0 as long as the slow ones take more than 50 times what they do in float32 and more than 4 times what they
# do without oneDNN, and the fast ones less than 20 times what they do in float32.
set -euo pipefail
grep -qs avx512_fp16 /proc/cpuinfo || { echo "needs a CPU with AVX512-FP16" >&2 && exit 3; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import functools
import time

import torch
from torch.nn import functional as F

torch.set_num_threads(1)


def milliseconds(work):
    work()
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def measure(transposed, weight_gradient, groups, dtype, onednn):
    torch.manual_seed(0)
    x = torch.randn(2, 64, 16, 16).to(dtype)
    weight = torch.randn(64, 64 // groups, 3, 3).to(dtype).requires_grad_(weight_gradient)
    options = {"stride": 2, "padding": 1} if transposed else {"padding": 1}
    function = functools.partial(F.conv_transpose2d if transposed else F.conv2d, groups=groups, **options)
    with torch.backends.mkldnn.flags(enabled=onednn):
        y = function(x, weight)
        if weight_gradient:
            rest = torch.ones_like(y)
            work = functools.partial(torch.autograd.grad, y, weight, rest, retain_graph=True)
            return milliseconds(work), work()[0].double()
        return milliseconds(functools.partial(function, x, weight)), y.double()


print("transposed  weight gradient  groups  float32  float16  without oneDNN, in ms")
for transposed, weight_gradient, groups, slow in (
    (False, False, 4, False),
    (False, True, 1, True),
    (False, True, 4, True),
    (True, False, 2, False),
    (True, False, 4, True),
):
    single, expected = measure(transposed, weight_gradient, groups, torch.float32, True)
    half, found = measure(transposed, weight_gradient, groups, torch.float16, True)
    own, other = measure(transposed, weight_gradient, groups, torch.float16, False)
    print(f"{transposed!s:<10}  {weight_gradient!s:<15}  {groups:6}  {single:7.2f}  {half:7.2f}  {own:7.2f}")
    for value in (found, other):
        assert (value - expected).abs().max() < 0.01 * expected.abs().max()
    assert half > 50 * single and half > 4 * own if slow else half < 20 * single
PROGRAM
