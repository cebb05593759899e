#!/usr/bin/env bash
# amd-quark 0.13 with onnxruntime 1.32.0 (Python 3.11): its cross-layer equalization changes what an ONNX network
# computes where a grouped Conv stands between two others (Conv, Relu, grouped Conv with as many outputs as inputs, Relu,
# Conv), the block of ResNeXt. Such a Conv is taken for a depthwise one: each of its filters is rescaled for the input
# channel of the filter's own number, in place of the input channels of its group. CLEConfig says that the scaling does
# not affect the final output, and QuantizationConfig has include_cle=True by default. Seen, for 8 channels, largest
# difference from the network in float32 over its largest output, for the equalized network in float32 and for the
# quantised one:
#
#     groups  equalized     int8 without it  int8 with it
#          1  below 1e-5    below 0.1        below 0.1
#          2  0.47          below 0.1        0.46
#          4  0.43          below 0.1        0.43
#          8  below 1e-5    below 0.1        below 0.1
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6 onnx==1.22.0 onnxruntime==1.32.0 cloudpickle==3.1.3 dill==0.4.1 joblib==1.6.0 \
  psutil==7.2.2 tqdm==4.70.1
pip --no-deps amd-quark==0.13
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import contextlib
import io
import logging
import sys
import types

# The operators of its own, which are not used here and would be compiled with a C++ compiler, are left out.
operators = types.ModuleType("build_custom_ops")
operators.get_library_path = operators.get_legacy_torch_library_path = lambda *_: ""
sys.modules["quark.onnx.operators.custom_ops.build_custom_ops"] = operators

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from quark.onnx import CLEConfig, Int8Spec, ModelQuantizer, QConfig, QLayerConfig
from quark.onnx.algorithm.cle.equalization import cle_transforms

logging.disable(logging.CRITICAL)
channels, shape = 8, [1, 4, 8, 8]


class Calibration:
    def __init__(self):
        self.inputs = iter([{"x": np.random.default_rng(seed).standard_normal(shape, "f")} for seed in range(1, 9)])

    def get_next(self):
        return next(self.inputs, None)


def network(groups):
    random = np.random.default_rng(0)
    nodes, constants = [], []
    sizes = ((channels, 4, 1), (channels, channels // groups, 3), (4, channels, 1))
    for i, (outputs, inputs, size) in enumerate(sizes):
        weight = random.standard_normal((outputs, inputs, size, size))
        weight *= np.exp(random.standard_normal((outputs, 1, 1, 1)))
        constants.append(numpy_helper.from_array((weight / 2).astype("f"), f"weight{i}"))
        constants.append(numpy_helper.from_array(random.standard_normal(outputs).astype("f"), f"bias{i}"))
        nodes.append(
            helper.make_node(
                "Conv",
                [f"relu{i - 1}" if i else "x", f"weight{i}", f"bias{i}"],
                ["y" if i == 2 else f"conv{i}"],
                f"node{i}",
                kernel_shape=[size, size],
                pads=[size // 2] * 4,
                group=groups if i == 1 else 1,
            )
        )
        if i < 2:
            nodes.append(helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"], f"activation{i}"))
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph(nodes, "network", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.random.default_rng(1).standard_normal(shape, "f")})[0]


def quantised(model, *algorithms):
    config = QConfig(QLayerConfig(activation=Int8Spec(), weight=Int8Spec()), algo_config=list(algorithms))
    with contextlib.redirect_stdout(io.StringIO()):
        return ModelQuantizer(config).quantize_model(model, calibration_data_reader=Calibration())


rows = []
for groups in (1, 2, 4, 8):
    expected = run(network(groups))
    models = (
        cle_transforms(network(groups), ["Conv"], [], []),
        quantised(network(groups)),
        quantised(network(groups), CLEConfig()),
    )
    rows.append((groups, *(abs(run(model) - expected).max() / abs(expected).max() for model in models)))
print("groups  equalized  int8 without it  int8 with it")
for groups, equalized, without, with_it in rows:
    print(f"{groups:6}  {equalized:.1e}    {without:.1e}          {with_it:.1e}")
for groups, equalized, without, with_it in rows:
    assert without < 0.1
    assert equalized < 1e-5 if groups in (1, channels) else equalized > 0.15
    assert with_it < 0.1 if groups in (1, channels) else with_it > 0.15
PROGRAM
