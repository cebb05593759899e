#!/usr/bin/env bash
# MNN 3.6.1 (Python 3.11, a processor with AVX-512): with precision "high" a 5 x 5 convolution in float32 errs by 4e-4
# to 8e-4 of the output's largest value, grouped or not, a thousand times float32's rounding, while 3 x 3, strided 5 x 5 and
# 1 x 1 ones are right to 1e-5 or better. Seen, largest difference from float64 over the largest value, 64 channels:
#
#     groups  kernel  stride  error
#          1       1       1  3.2e-07
#          1       3       1  7.3e-06
#          1       5       1  7.9e-04
#          1       5       2  1.3e-06
#          8       1       1  1.3e-07
#          8       3       1  3.0e-06
#          8       5       1  4.1e-04
#          8       5       2  5.3e-07
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check MNN==3.6.1 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PROGRAM' | grep --text "^ "
import sys
from pathlib import Path

import _tools  # the converter itself; MNN.tools installs packages when it is imported
import MNN.expr
import MNN.nn
import numpy as np
from onnx import TensorProto, helper, numpy_helper

folder, random, channels, side = Path(sys.argv[1]), np.random.default_rng(0), 64, 32


def error(groups, kernel, stride):
    x = random.standard_normal((1, channels, side, side), np.float32)
    weight = random.standard_normal((channels, channels // groups, kernel, kernel), np.float32)
    padding = kernel // 2
    padded = np.pad(x[0].astype(np.float64), ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
    pairs = zip(np.split(windows, groups), np.split(weight, groups), strict=True)
    right = np.concatenate([np.einsum("ihwab,oiab->ohw", part, filters) for part, filters in pairs])
    settings = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4, "group": groups}
    node = helper.make_node("Conv", ["x", "w"], ["y"], **settings)
    given, given_back = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape])
        for name, shape in (("x", x.shape[1:]), ("y", right.shape))
    )
    graph = helper.make_graph([node], "layer", [given], [given_back], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    source, target = folder / "net.onnx", folder / "net.mnn"
    source.write_bytes(model.SerializeToString())
    _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(target)])
    runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": "high"},))
    net = MNN.nn.load_module_from_file(str(target), ["x"], ["y"], runtime_manager=runtime)
    image = MNN.expr.placeholder(list(x.shape), MNN.expr.NCHW)
    image.write(x)
    y = np.array(MNN.expr.convert(net.forward(image), MNN.expr.NCHW).read()).reshape(right.shape)
    return float(np.abs(y - right).max() / np.abs(right).max())


found = {}
print("    groups  kernel  stride  error")
for groups in (1, 4, 8):
    for kernel, stride in ((1, 1), (3, 1), (5, 1), (5, 2)):
        found[groups, kernel, stride] = error(groups, kernel, stride)
        print(f"    {groups:6}  {kernel:6}  {stride:6}  {found[groups, kernel, stride]:.1e}", flush=True)
for (_, kernel, stride), value in found.items():
    if (kernel, stride) == (5, 1):
        assert value > 1e-4
    else:
        assert value < 2e-5
PROGRAM
