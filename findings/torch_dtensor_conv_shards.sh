#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11, two processes with gloo): conv2d of DTensors takes layouts that it has no rule for,
# computes with each process's own part, and says that the result is whole and replicated. With the weight sharded over
# output channels the "full" output has half of the channels; with input and weight sharded over input channels, where
# the parts have to be added up, it has the right shape and the numbers of one process's sum. No error, no warning; the
# same matrix product, F.linear, is right in both layouts. (pytorch/pytorch#186129 tells of depthwise ones.) Seen, for
# an output of (2, 8, 6, 6), largest difference over the largest value:
#
#     layout of input and weight      linear  conv2d, groups=1             conv2d, groups=4
#     Shard(0)    Replicate()         right   right                        right
#     Replicate() Shard(0)            right   replicated, (2, 4, 6, 6)     replicated, (2, 4, 6, 6)
#     Shard(1)    Shard(1)            right   replicated, off by over 0.3  replicated, off by over 0.3
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/layouts.py" <<'PROGRAM'
import functools
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.tensor import Replicate, Shard, distribute_tensor, init_device_mesh
from torch.nn import functional as F


def outcome(function, x, weight, layouts, mesh):
    right = function(x, weight)
    parts = (distribute_tensor(value, mesh, [layout]) for value, layout in zip((x, weight), layouts, strict=True))
    y = function(*parts)
    label = "replicated, " if y.placements == (Replicate(),) else ""
    whole = y.full_tensor()
    if whole.shape != right.shape:
        return f"{label}{tuple(whole.shape)}"
    error = ((whole - right).abs().max() / right.abs().max()).item()
    return "right" if error < 1e-9 else label + ("off by over 0.3" if error > 0.3 else f"off by {error:.1g}")


def run(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    image, vector = torch.randn(2, 8, 6, 6).double(), torch.randn(2, 8).double()
    found = []
    for layouts in ((Shard(0), Replicate()), (Replicate(), Shard(0)), (Shard(1), Shard(1))):
        row = [outcome(F.linear, vector, torch.randn(8, 8).double(), layouts, mesh)]
        for groups in (1, 4):
            weight = torch.randn(8, 8 // groups, 3, 3).double()
            conv = functools.partial(F.conv2d, padding=1, groups=groups)
            row.append(outcome(conv, image, weight, layouts, mesh))
        if rank == 0:
            print(f"{layouts[0]!s:<6}{layouts[1]!s:<6}", *(f"{text:<28}" for text in row))
        found.append(row)
    dist.destroy_process_group()
    half, sums = "replicated, (2, 4, 6, 6)", "replicated, off by over 0.3"
    assert found == [["right"] * 3, ["right", half, half], ["right", sums, sums]], found


if __name__ == "__main__":
    mp.spawn(run, (sys.argv[1],), 2)
PROGRAM
"$folder/venv/bin/python" "$folder/layouts.py" "$folder"
