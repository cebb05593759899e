#!/usr/bin/env bash
# onnx 1.23.2 (Python 3.11): ReferenceEvaluator, the specification's own implementation that backends are held against,
# adds the bias of the first output channel to every channel of a depthwise ConvTranspose. Without a bias, or with
# group=1, it is right; onnxruntime 1.32.0 is right in all cases. (A ConvTranspose whose groups have more than one
# output channel raises a ValueError there, mended in onnx/onnx#8446.) Seen, largest difference from a loop in float64:
#
#     group  bias   reference  onnxruntime
#         1  False    below 1e-5 both
#         1  True     below 1e-5 both
#         4  False    below 1e-5 both
#         4  True       3.0      below 1e-5      the biases are 0, 1, 2 and 3
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

random = np.random.default_rng(0)


def expected(x, weight, bias, group):
    """Each pixel of each input channel spreads its filters over the output of its group."""
    (_, c_in, height, width), (_, c_part, k, _) = x.shape, weight.shape
    y = np.zeros((1, c_part * group, height + k - 1, width + k - 1))
    for i in range(c_in):
        first = i // (c_in // group) * c_part
        for row in range(height):
            for column in range(width):
                part = y[0, first : first + c_part, row : row + k, column : column + k]
                part += x[0, i, row, column].astype(float) * weight[i]
    return y + bias[:, None, None]


found = {}
print("group  bias   reference  onnxruntime")
for group in (1, 4):
    for with_bias in (False, True):
        x = random.standard_normal((1, 4, 5, 5), np.float32)
        weight = random.standard_normal((4, 4 // group, 3, 3), np.float32)
        inputs = {"x": x, "w": weight} | ({"b": np.arange(4, dtype=np.float32)} if with_bias else {})
        node = helper.make_node("ConvTranspose", list(inputs), ["y"], group=group)
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, v.shape) for name, v in inputs.items()]
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 7, 7))
        graph = helper.make_graph([node], "layer", infos, [output])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        right = expected(x, weight, inputs.get("b", np.zeros(4)), group)
        runners = ReferenceEvaluator(model), onnxruntime.InferenceSession(model.SerializeToString())
        errors = [float(np.abs(runner.run(None, inputs)[0] - right).max()) for runner in runners]
        print(f"{group:5}  {with_bias!s:<5}  {errors[0]:9.2g}  {errors[1]:11.2g}")
        assert errors[1] < 1e-5
        assert abs(errors[0] - 3) < 1e-5 if (group, with_bias) == (4, True) else errors[0] < 1e-5
PROGRAM
