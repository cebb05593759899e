#!/usr/bin/env bash
# model-compression-toolkit 2.6.1 (Sony's MCT) with torch 2.13.0, CPU (Python 3.11): quantising a network after training
# in its default configuration changes the padding of an nn.Conv2d behind a SiLU, GELU or Hardswish. There the output of
# the activation is shifted to be positive, and the convolution's padding, whatever its padding_mode, is replaced by a
# constant one, so that reflected, replicated and circular padding are lost. padding="same" is left as it is, and now
# adds zeros to an image whose zero is elsewhere. No message. Behind a ReLU, or with
# QuantizationConfig(shift_negative_activation_correction=False), all is right. Seen, largest difference from the network
# in float32 over its largest output, of 8 bits, with 1 and 4 groups:
#
#     padding  padding_mode  ReLU        SiLU           SiLU, unshifted
#     1        zeros         below 0.05  below 0.05     below 0.05
#     same     zeros         below 0.05  about 0.1      below 0.05
#     same     circular      below 0.05  below 0.05     below 0.05
#     1        reflect       below 0.05  more than 0.4  below 0.05
#     1        replicate     below 0.05  more than 0.4  below 0.05
#     1        circular      below 0.05  more than 0.4  below 0.05
#
# Pixels away from the border are right everywhere. Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6 model-compression-toolkit==2.6.1 mct-quantizers==1.7.0 edge-mdt-cl==1.1.1 \
  matplotlib==3.9.4 networkx==3.5 onnx==1.23.2 pillow==13.0.0 protobuf==7.36.2 pulp==3.3.2 pydantic==2.11.10 \
  scikit-image==0.26.0 scikit-learn==1.9.1 scipy==1.17.1 tensorboard==2.21.0 tqdm==4.70.1
pip --no-deps torchvision==0.28.0
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PROGRAM' || { cat "$folder/log"; exit 1; }
import contextlib

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:  # its compiled operators do not load beside a CPU build of torch; none of them is used here
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")
import model_compression_toolkit as mct
from torch import nn


def quantised(network, x, shift):
    config = mct.core.QuantizationConfig(shift_negative_activation_correction=shift)
    return mct.ptq.pytorch_post_training_quantization(
        network, lambda: iter([[x.numpy()]]), core_config=mct.core.CoreConfig(quantization_config=config)
    )[0]


assert mct.core.QuantizationConfig().shift_negative_activation_correction
rows = []
for padding, mode in (
    (1, "zeros"),
    ("same", "zeros"),
    ("same", "circular"),
    (1, "reflect"),
    (1, "replicate"),
    (1, "circular"),
):
    for groups in (1, 4):
        errors, inner = [], []
        for activation, shift in ((nn.ReLU, True), (nn.SiLU, True), (nn.SiLU, False)):
            torch.manual_seed(0)
            x = 3 * torch.randn(16, 8, 8, 8)
            conv = nn.Conv2d(8, 8, 3, padding=padding, padding_mode=mode, groups=groups)
            network = nn.Sequential(nn.Conv2d(8, 8, 1), activation(), conv).eval()
            with torch.no_grad():
                expected = network(x)
                difference = (quantised(network, x, shift)(x) - expected).abs() / expected.abs().max()
            errors.append(difference.max().item())
            inner.append(difference[..., 1:-1, 1:-1].max().item())
        rows.append((padding, mode, groups, errors, inner))
print("padding  padding_mode  groups  ReLU   SiLU   SiLU, unshifted")
for padding, mode, groups, (relu, silu, unshifted), _ in rows:
    print(f"{padding:<7}  {mode:12}  {groups:6}  {relu:.3f}  {silu:.3f}  {unshifted:.3f}")
for padding, mode, groups, (relu, silu, unshifted), inner in rows:
    assert max(relu, unshifted, *inner) < 0.05
    if (padding, mode) in ((1, "zeros"), ("same", "circular")):
        assert silu < 0.05
    else:
        assert silu > (0.07 if padding == "same" else 0.4)
PROGRAM
