#!/usr/bin/env bash
# coremltools 9.0 (Python 3.11, torch 2.13.0): the converter folds a batch norm into the grouped transposed convolution
# before it with the factors of other channels. Its pass `fuse_conv_batchnorm` lines the weight (c_in, c_out / n, ...) up
# by channel within the group first and by group second, the factors by group first; with one group, or one channel to a
# group, both are the same. No error is raised. Without the pass the converted program is right. `fuse_conv_scale`, which
# folds a division by a constant, does the same. Largest error of the converted program's output over the largest output:
#
#     groups=1  batch norm folded 0.00  left 0.00
#     groups=2  batch norm folded 0.54  left 0.00
#     groups=4  batch norm folded 0.31  left 0.00
#     groups=8  batch norm folded 0.00  left 0.00
#
# Exits with 0 as long as groups 2 and 4 are wrong with the pass alone, and all else is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check coremltools==9.0 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import coremltools as ct
import torch
from torch import nn
from torch.nn import functional as F

CHANNELS = 8


def evaluate(program, x):
    """What the converted program computes, by PyTorch."""
    for operation in program.functions["main"].operations:
        constants = {name: value.val for name, value in operation.inputs.items() if hasattr(value, "val")}
        if operation.op_type == "conv_transpose":
            assert constants["pad_type"] == "valid" or not constants["pad"].any()
            weight, bias = torch.tensor(constants["weight"]), torch.tensor(constants["bias"])
            x = F.conv_transpose2d(x, weight, bias, groups=int(constants["groups"]))
        elif operation.op_type == "batch_norm":
            mean, variance, gamma, beta = (torch.tensor(constants[k]) for k in ("mean", "variance", "gamma", "beta"))
            x = F.batch_norm(x, mean, variance, gamma, beta, eps=float(constants["epsilon"]))
        else:
            assert operation.op_type == "const", operation.op_type
    return x


def error(groups, passes):
    torch.manual_seed(0)
    network = nn.Sequential(nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, groups=groups), nn.BatchNorm2d(CHANNELS)).eval()
    nn.init.uniform_(network[1].weight, 0.2, 2)
    x = torch.randn(1, CHANNELS, 6, 6)
    with torch.no_grad():
        right = network(x)
        program = ct.convert(
            torch.jit.trace(network, x),
            inputs=[ct.TensorType(shape=x.shape)],
            convert_to="milinternal",
            compute_precision=ct.precision.FLOAT32,
            pass_pipeline=passes,
        )
        return float((evaluate(program, x) - right).abs().max() / right.abs().max())


left = ct.PassPipeline()
left.remove_passes(["common::fuse_conv_batchnorm"])
for groups in (1, 2, 4, 8):
    folded, unfolded = error(groups, ct.PassPipeline.DEFAULT), error(groups, left)
    print(f"groups={groups}  batch norm folded {folded:.2f}  left {unfolded:.2f}")
    assert unfolded < 1e-4
    assert (folded > 0.1) == (1 < groups < CHANNELS)
PROGRAM
