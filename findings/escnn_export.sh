#!/usr/bin/env bash
# escnn 1.0.11 with torch 2.13.0, CPU (Python 3.11): export(), documented to export a module to a normal PyTorch module,
# loses padding_mode and output_padding. What R2Conv pads with copies of the image, the nn.Conv2d that it returns pads
# with zeros, and the nn.ConvTranspose2d of an R2ConvTransposed has an output without the extra row and column. No
# message. Seen, with 1 and 2 groups, largest difference of the exported layer from the plain convolution of the image
# padded beforehand, over its largest output, in which the layer itself is right:
#
#     padding_mode  itself      exported
#     zeros         below 1e-5  below 1e-5
#     circular      below 1e-5  more than 0.1
#     reflect       below 1e-5  more than 0.1
#     replicate     below 1e-5  more than 0.1
#
# and for 7 x 7 pixels, a kernel of 3, stride 2 and padding 1:
#
#     output_padding  itself   exported
#                  0  13 x 13  13 x 13
#                  1  14 x 14  13 x 13
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6 scipy==1.17.1 joblib==1.6.0
pip --no-deps escnn==1.0.11 # lie_learn, which rotations in the plane do not need, is left out
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import sys
import types

for name in ("lie_learn", "lie_learn.representations", "lie_learn.representations.SO3"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["lie_learn.representations.SO3.wigner_d"] = rotations = types.ModuleType("wigner_d")
rotations.wigner_D_matrix = None

import torch
from escnn import gspaces, nn
from torch.nn import functional as F

torch.manual_seed(0)
space = gspaces.rot2dOnR2(4)
fields = nn.FieldType(space, [space.regular_repr] * 2)
x = torch.randn(2, fields.size, 7, 7)
print("padding_mode  groups  itself   exported")
for mode in ("zeros", "circular", "reflect", "replicate"):
    for groups in (1, 2):
        layer = nn.R2Conv(fields, fields, 3, padding=1, padding_mode=mode, groups=groups).eval()
        exported = layer.export()
        with torch.no_grad():
            padded = F.pad(x, (1, 1, 1, 1), "constant" if mode == "zeros" else mode)
            expected = F.conv2d(padded, exported.weight, exported.bias, groups=groups)
            errors = [
                ((found - expected).abs().max() / expected.abs().max()).item()
                for found in (layer(fields(x)).tensor, exported(x))
            ]
        print(f"{mode:12}  {groups:6}  {errors[0]:.1e}  {errors[1]:.1e}")
        assert errors[0] < 1e-5
        assert errors[1] < 1e-5 if mode == "zeros" else errors[1] > 0.1
print("\noutput_padding  groups  itself   exported")
for extra in (0, 1):
    for groups in (1, 2):
        options = {"padding": 1, "stride": 2, "output_padding": extra, "groups": groups}
        layer = nn.R2ConvTransposed(fields, fields, 3, **options).eval()
        exported = layer.export()
        with torch.no_grad():
            found, shorter = layer(fields(x)).tensor, exported(x)
            expected = F.conv_transpose2d(x, exported.weight, exported.bias, **options)
        sizes = ["{} x {}".format(*y.shape[2:]) for y in (found, shorter)]
        print(f"{extra:14}  {groups:6}  {sizes[0]}  {sizes[1]}")
        assert torch.allclose(found, expected, atol=1e-5)
        assert sizes == [f"{13 + extra} x {13 + extra}", "13 x 13"]
PROGRAM
