#!/usr/bin/env bash
# lycoris-lora 4.1.3 with torch 2.13.0 (Python 3.11): a LoKr adapter of a grouped convolution computes something else in
# bypass_mode, which is to run the same adapter without building its weight, than after it is merged, or without that
# mode: its own two convolutions do not follow the layer's groups. No warning. LoCon is right in both modes, as is LoKr
# for groups=1. Seen, largest difference of what the adapter adds from what the merged layer adds, over its standard
# deviation:
#
#     groups  LoCon, bypass  LoKr  LoKr, bypass
#          1  below 1e-9 all
#          2  below 1e-9 both      more than 2
#          4  below 1e-9 both      more than 2
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 lycoris-lora==4.1.3
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import torch
from lycoris.modules import LoConModule, LokrModule
from torch import nn

torch.manual_seed(0)


def error(kind, groups, bypass_mode):
    network = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, groups=groups)).double().requires_grad_(False)
    x = torch.randn(2, 16, 8, 8).double()
    before = network(x)
    adapter = kind("adapter", network[0], 1.0, lora_dim=4, alpha=4, bypass_mode=bypass_mode).double().eval()
    for value in adapter.requires_grad_(False).parameters():
        nn.init.normal_(value)
    adapter.apply_to()
    adapted = network(x) - before
    adapter.restore()
    adapter.merge_to(1.0)
    merged = network(x) - before
    return ((adapted - merged).abs().max() / merged.std()).item()


print("groups  LoCon, bypass  LoKr     LoKr, bypass")
for groups in (1, 2, 4):
    found = error(LoConModule, groups, True), error(LokrModule, groups, False), error(LokrModule, groups, True)
    print(f"{groups:6}  {found[0]:<13.1g}  {found[1]:<7.1g}  {found[2]:.1g}")
    assert max(found[:2]) < 1e-9
    assert found[2] < 1e-9 if groups == 1 else found[2] > 2
PROGRAM
