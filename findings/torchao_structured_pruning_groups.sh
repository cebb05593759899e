#!/usr/bin/env bash
# torchao 0.18.0 with torch 2.13.0 (Python 3.11): the structured pruner removes filters of a grouped convolution and
# keeps its number of groups. Where those that are left are not as many in every group, but divide by that number, the
# next filters move up into another group and read that group's channels. No error, no warning. The pruned network
# should compute what the masked one does before prune(). torch.ao.pruning in torch 2.13.0 has the same. Seen, for a
# convolution of 8 filters, largest difference from the masked dense convolution in float64, over its largest output:
#
#     groups  removed  masked      pruned
#          1     0, 1  below 1e-6  below 1e-6
#          2     0, 4  below 1e-6  below 1e-6
#          2     0, 1  below 1e-6  0.49
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 torchao==0.18.0
cat > "$folder/program.py" <<'PROGRAM'
import copy

import torch
from torch import nn
from torch.nn import functional as F
from torchao.prototype.sparsity.pruner.saliency_pruner import SaliencyPruner


def errors(groups, removed):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 3, groups=groups), nn.ReLU(), nn.Conv2d(8, 3, 3)).requires_grad_(False)
    network[0].weight[removed] *= 1e-3  # the least salient
    x = torch.randn(2, 4, 8, 8)

    exact = copy.deepcopy(network).double()
    dense = torch.zeros(8, 4, 3, 3).double()
    for filter, weight in enumerate(exact[0].weight):
        first = filter * groups // 8 * len(weight)
        dense[filter, first : first + len(weight)] = 0 if filter in removed else weight
    expected = exact[2](F.relu(F.conv2d(x.double(), dense, exact[0].bias)))

    pruner = SaliencyPruner({})
    pruner.prepare(network, [{"tensor_fqn": "0.weight", "sparsity_level": len(removed) / 8}])
    pruner.step()
    masked = network(x)
    pruned = pruner.prune()(x)
    return [((found - expected).abs().max() / expected.abs().max()).item() for found in (masked, pruned)]


print("groups  removed  masked   pruned")
for groups, removed in ((1, [0, 1]), (2, [0, 4]), (2, [0, 1])):
    masked, pruned = errors(groups, removed)
    print(f"{groups:6}  {str(removed)[1:-1]:>7}  {masked:.1e}  {pruned:.1e}")
    assert masked < 1e-6
    assert pruned > 0.1 if removed == [0, 1] and groups == 2 else pruned < 1e-6
PROGRAM
"$folder/venv/bin/python" -W ignore "$folder/program.py"
