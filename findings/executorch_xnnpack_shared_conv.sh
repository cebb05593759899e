#!/usr/bin/env bash
# executorch 1.5.1 with torch 2.13.0 (Python 3.11, x86): lowering to XNNPACK folds batch norms into the convolutions
# before them, and where a convolution is called more than once, each time with a norm of its own, as in the shared
# heads of detectors, every call gets the first call's norm. The folded weights are named after the convolution alone,
# and the second ones are lost. No error, no warning. One norm for both calls is right, and so are two norms after two
# convolutions with equal weights, and executorch's portable kernels. Seen, largest difference from the network itself
# over its largest output:
#
#     groups   norms  convolutions  portable    XNNPACK, call 1  XNNPACK, call 2
#     1, 4, 8      1             1  below 1e-5  below 1e-5       below 1e-5
#     1, 4, 8      2             2  below 1e-5  below 1e-5       below 1e-5
#     1, 4, 8      2             1  below 1e-5  below 1e-5       more than 0.3, and below 1e-5 from the first norm's
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6 torchao==0.18.0 flatbuffers==25.12.19 ruamel.yaml==0.19.1 tabulate==0.10.0
pip --no-deps executorch==1.5.1 # what else it asks for is not used here
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import copy
import logging

import torch
from torch import nn

logging.disable(logging.WARNING)
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime


class Pair(nn.Module):
    def __init__(self, groups, own_norms, own_convs):
        super().__init__()
        self.conv_1 = nn.Conv2d(8, 8, 3, padding=1, groups=groups)
        self.conv_2 = copy.deepcopy(self.conv_1) if own_convs else self.conv_1
        self.norm_1 = nn.BatchNorm2d(8)
        self.norm_2 = nn.BatchNorm2d(8) if own_norms else self.norm_1
        for norm in (self.norm_1, self.norm_2):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)

    def forward(self, x, y):
        return self.norm_1(self.conv_1(x)), self.norm_2(self.conv_2(y))


class Pairs(nn.Module):
    def __init__(self, pairs):
        super().__init__()
        self.pairs = nn.ModuleList(pairs)

    def forward(self, x, y):
        return tuple(one for pair in self.pairs for one in pair(x, y))


def error(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


cases = [
    (groups, own_norms, own_convs)
    for groups in (1, 4, 8)
    for own_norms, own_convs in ((False, False), (True, True), (True, False))
]
torch.manual_seed(0)
network = Pairs([Pair(*case) for case in cases]).requires_grad_(False).eval()
images = torch.randn(1, 8, 6, 6), torch.randn(1, 8, 6, 6)
expected = network(*images)
errors = []
for partitioner in ([], [XnnpackPartitioner()]):
    exported = torch.export.export(network, images)
    program = to_edge_transform_and_lower(exported, partitioner=partitioner).to_executorch()
    found = Runtime.get().load_program(program.buffer).load_method("forward").execute(images)
    errors.append([error(*pair) for pair in zip(found, expected, strict=True)])
print("groups  norms  convolutions  portable          XNNPACK           call 2 from the first norm's")
for index, ((groups, own_norms, own_convs), pair) in enumerate(zip(cases, network.pairs, strict=True)):
    portable, xnnpack = (row[2 * index : 2 * index + 2] for row in errors)
    from_first = error(found[2 * index + 1], pair.norm_1(pair.conv_1(images[1])))  # found with XNNPACK, the last one
    shown = "  ".join(f"{one:.1e}" for one in (*portable, *xnnpack, from_first))
    print(f"{groups:6}  {1 + own_norms:5}  {1 + own_convs:12}  {shown}")
    assert max(*portable, xnnpack[0]) < 1e-5
    if own_norms and not own_convs:
        assert xnnpack[1] > 0.3
        assert from_first < 1e-5
    else:
        assert xnnpack[1] < 1e-5
PROGRAM
