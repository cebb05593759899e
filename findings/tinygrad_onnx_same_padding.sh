#!/usr/bin/env bash
# tinygrad 0.14.0 (Python 3.11): its runner of ONNX files pads a convolution with auto_pad SAME_UPPER wrongly, in two
# ways. Where the kernel is smaller than the stride it needs no padding, but tinygrad pads by a negative number: it cuts
# off the first row and column, and the convolution reads other pixels. The shape is right, there is no warning. So in
# the 1 x 1 convolutions of stride 2 beside the blocks of residual networks, for every image of even size. And the
# dilation is left out of the size of the kernel, so that the output of a dilated convolution of stride 1 is smaller
# than the image. Seen, with 1 and 4 groups, largest difference from a plain loop over its largest output; onnxruntime,
# which refuses dilations with SAME_UPPER, as well:
#
#     kernel  stride  dilation  image  tinygrad                     onnxruntime
#          3       1         1      8  below 1e-6                   below 1e-6
#          3       2         1      8  below 1e-6                   below 1e-6
#          1       2         1      7  below 1e-6                   below 1e-6
#          1       2         1      8  more than 0.3                below 1e-6
#          2       3         1      9  more than 0.3                below 1e-6
#          3       1         2      8  6 x 6 in place of 8 x 8      refused
#
# Exits with 0 as long as that is so. tinygrad's Python device is used, as the others need a compiler.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    tinygrad==0.14.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
DEV=PYTHON "$folder/venv/bin/python" - "$folder/model.onnx" <<'PROGRAM'
import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tinygrad import Tensor
from tinygrad.nn.onnx import OnnxRunner


def loop(x, weight, groups, stride, dilation):
    size, kernel = x.shape[2], weight.shape[2]
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    before = total // 2  # SAME_UPPER: the odd one at the end
    y = numpy.zeros((1, weight.shape[0], outputs, outputs))
    for out in range(weight.shape[0]):
        first = out // (weight.shape[0] // groups) * weight.shape[1]
        for i, j in numpy.ndindex(outputs, outputs):
            for channel, a, b in numpy.ndindex(weight.shape[1], kernel, kernel):
                row, column = i * stride + a * dilation - before, j * stride + b * dilation - before
                if 0 <= row < size and 0 <= column < size:
                    y[0, out, i, j] += float(weight[out, channel, a, b]) * x[0, first + channel, row, column]
    return y


def error(found, expected):
    return abs(found - expected).max() / abs(expected).max()


random = numpy.random.default_rng(0)
print("groups  kernel  stride  dilation  image  expected  tinygrad        onnxruntime")
for groups in (1, 4):
    for kernel, stride, dilation, size in (
        (3, 1, 1, 8),
        (3, 2, 1, 8),
        (1, 2, 1, 7),
        (1, 2, 1, 8),
        (2, 3, 1, 9),
        (3, 1, 2, 8),
    ):
        x = random.standard_normal((1, 4, size, size)).astype(numpy.float32)
        weight = random.standard_normal((4, 4 // groups, kernel, kernel)).astype(numpy.float32)
        node = helper.make_node(
            "Conv",
            ["x", "weight"],
            ["y"],
            auto_pad="SAME_UPPER",
            group=groups,
            strides=[stride, stride],
            dilations=[dilation, dilation],
        )
        graph = helper.make_graph(
            [node],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
            [numpy_helper.from_array(weight, "weight")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, sys.argv[1])
        expected = loop(x, weight, groups, stride, dilation)
        found = OnnxRunner(sys.argv[1])({"x": Tensor(x)})["y"].numpy()
        shown = f"{error(found, expected):.1e}" if found.shape == expected.shape else str(found.shape)
        if dilation == 1:
            other = error(onnxruntime.InferenceSession(sys.argv[1]).run(None, {"x": x})[0], expected)
            assert other < 1e-6
            assert found.shape == expected.shape
            assert error(found, expected) > 0.3 if kernel < stride and size != 7 else error(found, expected) < 1e-6
        else:
            other = float("nan")
            assert expected.shape == (1, 4, 8, 8)
            assert found.shape == (1, 4, 6, 6)
        print(
            f"{groups:6}  {kernel:6}  {stride:6}  {dilation:8}  {size:5}  "
            f"{expected.shape[2]} x {expected.shape[3]}     {shown:14}  {other:.1e}"
        )
PROGRAM
