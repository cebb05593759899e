#!/usr/bin/env bash
# speechbrain 1.1.2 with torch 2.13.0, CPU (Python 3.11): the argument output_padding of ConvTranspose1d, documented as
# the additional size added to one side of the output shape, has no effect: it is not given to the nn.ConvTranspose1d
# that computes. No message. Seen, length of the output for an input of length 10 and a kernel of 3, and that of
# nn.ConvTranspose1d:
#
#     groups  stride  padding  output_padding  length  right
#          1       2        1               0      19     19
#          1       2        1               1      19     20
#          1       4        1               3      37     40
#          4       4        1               3      37     40
#
# Exits with 0 as long as that is so.
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
from speechbrain.nnet.CNN import ConvTranspose1d
from torch import nn

x = torch.randn(1, 4, 10)
print("groups  stride  padding  output_padding  length  right")
for groups, stride, extra in ((1, 2, 0), (1, 2, 1), (1, 4, 3), (4, 4, 3)):
    options = {"stride": stride, "padding": 1, "output_padding": extra, "groups": groups}
    layer = ConvTranspose1d(4, 3, in_channels=4, skip_transpose=True, **options)
    reference = nn.ConvTranspose1d(4, 4, 3, **options)
    reference.load_state_dict(layer.conv.state_dict())
    y, expected = layer(x), reference(x)
    print(f"{groups:6}  {stride:6}  {1:7}  {extra:14}  {y.shape[-1]:6}  {expected.shape[-1]:5}")
    assert expected.shape[-1] == 9 * stride + 1 + extra
    assert y.shape[-1] == expected.shape[-1] - extra
    assert torch.allclose(y, expected[..., : y.shape[-1]], atol=1e-6)
PROGRAM
