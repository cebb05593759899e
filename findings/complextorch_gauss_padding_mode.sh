#!/usr/bin/env bash
# complextorch 2.1.1 with torch 2.13.0, CPU (Python 3.11): complextorch.nn.gauss.Conv1d, Conv2d and Conv3d, which compute
# a complex convolution as three real ones, leave padding_mode out of the third: the imaginary parts of outputs near the
# border are wrong, the real parts are right. No message. Seen, with 1 and 4 groups, largest difference from PyTorch's
# complex nn.Conv2d of the same weights, over its largest output:
#
#     padding_mode  real parts  imaginary parts
#     zeros         below 1e-5  below 1e-5
#     circular      below 1e-5  more than 0.1
#     reflect       below 1e-5  more than 0.1
#     replicate     below 1e-5  more than 0.1
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6
pip --no-deps complextorch==2.1.1
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import torch
from complextorch.nn import gauss
from torch import nn

torch.manual_seed(0)
print("dimensions  padding_mode  groups  real parts  imaginary parts")
for dimensions in (1, 2, 3):
    ours, reference = (getattr(module, f"Conv{dimensions}d") for module in (gauss, nn))
    x = torch.randn(2, 4, *[6] * dimensions, dtype=torch.complex64)
    for mode in ("zeros", "circular", "reflect", "replicate"):
        for groups in (1, 4):
            layer = ours(4, 4, 3, padding=1, padding_mode=mode, groups=groups)
            conv = reference(4, 4, 3, padding=1, padding_mode=mode, groups=groups, dtype=torch.complex64)
            with torch.no_grad():
                conv.weight.copy_(layer.weight)
                conv.bias.copy_(layer.bias)
                expected = conv(x)
                difference = (layer(x) - expected) / expected.abs().max()
            real, imaginary = difference.real.abs().max().item(), difference.imag.abs().max().item()
            print(f"{dimensions:10}  {mode:12}  {groups:6}  {real:.1e}     {imaginary:.1e}")
            assert real < 1e-5
            assert imaginary < 1e-5 if mode == "zeros" else imaginary > 0.1
PROGRAM
