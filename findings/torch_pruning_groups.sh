#!/usr/bin/env bash
# torch-pruning 1.6.1 with torch 2.13.0 (Python 3.11): channels removed before a grouped convolution take the wrong
# weights with them. Of every group the columns go that go of the first, whichever channels of the others were asked
# for; the removed channels below are 0 for every image, so that nothing should change. No error, no warning. Seen, 8
# channels, change of the output over its largest value:
#
#     removed  groups = 1  groups = 2
#     0, 4     0           0
#     0, 5     0           more than 0.3
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 torch-pruning==1.6.1
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import torch
import torch_pruning
from torch import nn

print("removed  groups  change")
for removed in ([0, 4], [0, 5]):
    for groups in (1, 2):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, groups=groups)).eval()
        with torch.no_grad():
            network[0].weight[removed] = 0
            network[0].bias[removed] = 0
        x = torch.randn(1, 3, 6, 6)
        expected = network(x)
        graph = torch_pruning.DependencyGraph().build_dependency(network, example_inputs=x)
        graph.get_pruning_group(network[0], torch_pruning.prune_conv_out_channels, idxs=removed).prune()
        change = ((network(x) - expected).abs().max() / expected.abs().max()).item()
        print(f"{str(removed)[1:-1]:7}  {groups:6}  {change:.1e}")
        assert network[1].weight.shape == (4, 6 // groups, 3, 3)
        assert change > 0.3 if (removed, groups) == ([0, 5], 2) else change < 1e-6
PROGRAM
