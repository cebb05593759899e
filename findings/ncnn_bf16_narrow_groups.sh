#!/usr/bin/env bash
# ncnn 1.0.20261020 (Python 3.11, a processor with AVX-512): with use_bf16_storage a grouped convolution whose groups have
# 2 to 8 channels returns numbers that have nothing to do with the layer, up to 1e36 where the right ones are near 10. With
# 10 or more channels in a group, and for depthwise ones, it computes in float32 as if the option were off; standard
# convolutions err by bfloat16's 3e-3. Without the option all are right. Seen, largest difference from float64 over the
# largest value:
#
#     groups  channels of each  float32   bf16 storage
#          1                16  5.1e-06   2.3e-03
#          2                 3  8.5e-08   5.9e+00
#          2                 8  1.7e-07   5.1e+35
#          4                 4  1.2e-07   1.6e+34
#          4                10  4.4e-06   5.6e-06
#
# Exits with 0 as long as narrow groups are wrong and the others right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ncnn==1.0.20261020 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PROGRAM'
import sys
from pathlib import Path

import ncnn
import numpy as np

folder, random = Path(sys.argv[1]), np.random.default_rng(0)


def expected(x, weight, groups):
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))  # (c_in, H, W, 3, 3)
    pairs = zip(np.split(windows, groups), np.split(weight, groups), strict=True)
    return np.concatenate([np.einsum("ihwab,oiab->ohw", part, filters) for part, filters in pairs])


def error(groups, channels, bf16):
    x = random.standard_normal((groups * channels, 8, 8), np.float32)
    weight = random.standard_normal((groups * channels, channels, 3, 3), np.float32)
    kind = "Convolution" if groups == 1 else "ConvolutionDepthWise"
    line = f"{kind} y 1 1 x y 0={groups * channels} 1=3 4=1 5=0 6={weight.size}" + (f" 7={groups}" if groups > 1 else "")
    (folder / "net.param").write_text(f"7767517\n2 2\nInput x 0 1 x\n{line}\n")
    (folder / "net.bin").write_bytes(bytes(4) + weight.tobytes())
    net = ncnn.Net()
    for option in ("use_fp16_storage", "use_fp16_arithmetic", "use_fp16_packed"):
        setattr(net.opt, option, False)
    net.opt.use_bf16_storage = bf16
    assert net.load_param(str(folder / "net.param")) == net.load_model(str(folder / "net.bin")) == 0
    extractor = net.create_extractor()
    extractor.input("x", ncnn.Mat(x).clone())
    right = expected(x, weight, groups)
    difference = np.abs(np.array(extractor.extract("y")[1]) - right).max() / np.abs(right).max()
    return float(np.nan_to_num(difference, nan=np.inf))


print("groups  channels of each  float32   bf16 storage")
found = {}
for groups, channels in ((1, 16), (2, 3), (2, 8), (4, 4), (4, 10)):
    plain, found[groups, channels] = error(groups, channels, False), error(groups, channels, True)
    print(f"{groups:6} {channels:17}  {plain:.1e}   {found[groups, channels]:.1e}")
    assert plain < 1e-4
assert found[1, 16] < 1e-2 and found[4, 10] < 1e-4
assert min(found[2, 3], found[2, 8], found[4, 4]) > 0.5
PROGRAM
