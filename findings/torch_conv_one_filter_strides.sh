#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11, CPU): conv2d with one filter cannot be differentiated by a weight that is a product of a
# channels-last tensor, as where a filter is scaled or folded. The product's first dimension has size 1, so that its
# stride means nothing, but it is not the one that PyTorch expects; is_contiguous says that the weight is channels last.
# The forward pass is right, the backward pass raises. In float64 always; in float32, where oneDNN serves larger
# batches, with one image. Seen:
#
#     stride of the weight   float32, 1 image                             float64, 3 images
#     (8, 1, 40, 8)          slow_conv2d: grad_weight must be contiguous  slow_conv2d: grad_weight must be contiguous
#     (80, 1, 40, 8)         computed                                     computed
#
# Exits with 0 as long as that is so in float64; float32 is printed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import torch
from torch.nn import functional as F

torch.manual_seed(0)


def outcome(scaled, images, dtype):
    last = {"memory_format": torch.channels_last}
    filters = torch.randn(1, 8, 2, 5, dtype=dtype).contiguous(**last).requires_grad_()
    weight = (torch.ones(1, 1, 1, 1, dtype=dtype) * filters[:, None])[0] if scaled else filters * 1
    assert weight.shape == filters.shape and weight.is_contiguous(**last)
    y = F.conv2d(torch.randn(images, 8, 7, 9, dtype=dtype).contiguous(**last), weight)
    try:
        y.sum().backward()
    except RuntimeError as error:
        return weight.stride(), str(error)
    return weight.stride(), "computed"


seen = {}
for scaled in (True, False):
    for images, dtype in ((1, torch.float32), (3, torch.float64)):
        stride, seen[scaled, dtype] = outcome(scaled, images, dtype)
        print(stride, dtype, images, seen[scaled, dtype])
assert "grad_weight must be contiguous" in seen[True, torch.float64]
assert seen[False, torch.float64] == seen[False, torch.float32] == "computed"
PROGRAM
