#!/usr/bin/env bash
# lycoris-lora 4.1.3 with torch 2.13.0 (Python 3.11): merging a LoHa adapter into its layer scales the update by
# alpha / rank twice, so the merged layer is not the one that was trained: with rank 4 and alpha 1 its update is four
# times too small. So for linear layers and convolutions, grouped or not. Only with alpha = rank is it right. LoCon, on
# the same layers, merges right. No warning. Seen, size of the update before merging over that after it:
#
#     layer                       LoCon  LoHa, alpha=4  LoHa, alpha=1
#     Linear                        1.0            1.0            4.0
#     Conv2d, groups=1              1.0            1.0            4.0
#     Conv2d, groups=4              1.0            1.0            4.0
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 lycoris-lora==4.1.3
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import copy

import torch
from lycoris.modules import LoConModule, LohaModule
from torch import nn

torch.manual_seed(0)


def ratio(kind, layer, alpha):
    network = nn.Sequential(copy.deepcopy(layer)).double().requires_grad_(False)
    x = torch.randn((2, 16) if isinstance(layer, nn.Linear) else (2, 16, 8, 8)).double()
    before = network(x)
    adapter = kind("adapter", network[0], 1.0, lora_dim=4, alpha=alpha).double().eval().requires_grad_(False)
    for value in adapter.parameters():
        nn.init.normal_(value)
    adapter.apply_to()
    adapted = network(x) - before
    adapter.restore()
    adapter.merge_to(1.0)
    merged = network(x) - before
    assert torch.allclose(adapted / adapted.norm(), merged / merged.norm())  # the same direction
    return (adapted.norm() / merged.norm()).item()


print(f"{'layer':<26}  LoCon  LoHa, alpha=4  LoHa, alpha=1")
grouped = {f"Conv2d, groups={groups}": nn.Conv2d(16, 32, 3, padding=1, groups=groups) for groups in (1, 4)}
for name, layer in {"Linear": nn.Linear(16, 32), **grouped}.items():
    found = ratio(LoConModule, layer, 1), ratio(LohaModule, layer, 4), ratio(LohaModule, layer, 1)
    print(f"{name:<26}  {found[0]:5.1f}  {found[1]:13.1f}  {found[2]:13.1f}")
    assert [round(value, 6) for value in found] == [1, 1, 4]
PROGRAM
