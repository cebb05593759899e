#!/usr/bin/env bash
# speechbrain 1.1.2 with torch 2.13.0, CPU (Python 3.11): Conv2d with padding="causal" is not causal with two different
# dilations. It pads the first spatial axis before its start, which the documentation calls proper padding for a causal
# convolution there, but for the dilation of the other axis. Is that the smaller one, an output row depends on later
# input rows, and rows are missing; is it the greater one, there are rows too many, and all come late. No message. Seen,
# with a 3 x 3 kernel, for 12 input rows: the number of output rows, and the input rows with a gradient from output row
# 5. Right are 12 rows and, for the dilation d of the rows, 5 - 2 d, 5 - d and 5, as a plain convolution of the padded
# image has them (last columns).
#
#     groups  dilation  rows  row 5    right  row 5
#          1  (1, 1)      12  3, 4, 5     12  3, 4, 5
#          1  (2, 2)      12  1, 3, 5     12  1, 3, 5
#          1  (2, 1)      10  3, 5, 7     12  1, 3, 5
#          1  (1, 2)      14  1, 2, 3     12  3, 4, 5
#
# and so with 4 groups. Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6 hyperpyyaml==1.2.3 packaging==26.4 scipy==1.17.1 \
  sentencepiece==0.2.3 tqdm==4.70.1
pip --no-deps speechbrain==1.1.2 # torchaudio, which is not used here, is left out
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import importlib.machinery
import sys
import types

sys.modules["torchaudio"] = torchaudio = types.ModuleType("torchaudio")
torchaudio.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
torchaudio.__version__ = "2.9.0"

import torch
from speechbrain.nnet.CNN import Conv2d
from torch.nn import functional as F


def row5(y, x):
    (gradient,) = torch.autograd.grad(y[:, :, 5].sum(), x)
    return gradient.abs().sum((0, 1, 3)).nonzero().flatten().tolist()


torch.manual_seed(0)
x = torch.randn(1, 4, 12, 12, requires_grad=True)
print("groups  dilation  rows  row 5    right  row 5")
for groups in (1, 4):
    for dilation in ((1, 1), (2, 2), (2, 1), (1, 2)):
        layer = Conv2d(
            4, (3, 3), in_channels=4, dilation=dilation, padding="causal", groups=groups, skip_transpose=True
        )
        y = layer(x)
        padded = F.pad(x, (0, 0, 2 * dilation[0], 0))
        expected = F.conv2d(padded, layer.conv.weight, layer.conv.bias, dilation=dilation, groups=groups)
        found, right = row5(y, x), row5(expected, x)
        print(f"{groups:6}  {dilation}  {y.shape[2]:6}  {str(found)[1:-1]}  {expected.shape[2]:5}  {str(right)[1:-1]}")
        assert expected.shape[2] == 12
        assert right == [5 - 2 * dilation[0], 5 - dilation[0], 5]
        if dilation[0] == dilation[1]:
            assert torch.equal(y, expected)
        else:
            assert y.shape[2] == 12 + 2 * (dilation[1] - dilation[0])
            assert found == [row + 2 * (dilation[0] - dilation[1]) for row in right]
PROGRAM
