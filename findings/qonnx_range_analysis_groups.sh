#!/usr/bin/env bash
# qonnx 1.0.0 with onnx 1.23.2 (Python 3.11): range_analysis, from whose bounds the widths of accumulators are taken,
# gives bounds that the values leave for a 1 x 1 group convolution after another layer. It takes every convolution with
# groups > 1 for a depthwise one: all weights of output channel i meet the range of input channel i. Only depthwise ones
# with as many output channels, and inputs that all have one range, are right. No warning; with kernels larger than
# 1 x 1 the same layers raise "operands could not be broadcast". Seen, output channels with reachable values outside
# their range:
#
#     channels in, out  groups  outside
#              16, 16        1   0 of 16
#              16, 16       16   0 of 16
#              16, 16        4   7 of 16
#              32, 16        4   9 of 16
#
# Exits with 0 as long as groups = 1 and depthwise have none outside, and each other case at least a quarter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check qonnx==1.0.0 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.range_analysis import range_analysis

generator = np.random.default_rng(0)


def convolution(name, c_in, c_out, groups):
    weight = generator.standard_normal((c_out, c_in // groups, 1, 1)).astype(np.float32)
    attributes = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
    node = helper.make_node("Conv", [name, f"{name}w"], [f"{name}y"], group=groups, **attributes)
    return node, numpy_helper.from_array(weight, f"{name}w"), weight[:, :, 0, 0]


def image(name, channels):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 1, 1])


print("channels in, out  groups  outside")
for c_in, c_out, groups in ((16, 16, 1), (16, 16, 16), (16, 16, 4), (32, 16, 4)):
    first, first_weight, _ = convolution("x", c_in, c_in, c_in)  # one factor for each channel
    second, second_weight, weight = convolution("xy", c_in, c_out, groups)
    graph = helper.make_graph(
        [first, second], "two", [image("x", c_in)], [image("xyy", c_out)], [first_weight, second_weight]
    )
    model = ModelWrapper(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))
    low, high = range_analysis(model, irange=(-1.0, 1.0), report_mode="range")["xyy"]
    # What the input (-1, 1) makes of each output channel at its largest: every term has the sign of its weight.
    factors = np.abs(numpy_helper.to_array(first_weight)).reshape(groups, -1)
    weights = np.abs(weight).reshape(groups, c_out // groups, c_in // groups)
    reached = np.einsum("goi,gi->go", weights, factors).reshape(-1)
    outside = int(((reached > np.float32(high) + 1e-4) | (-reached < np.float32(low) - 1e-4)).sum())
    print(f"{f'{c_in}, {c_out}':>16}  {groups:6}  {outside:2} of {c_out}")
    assert outside == 0 if groups in (1, c_in) else outside >= c_out // 4
PROGRAM
