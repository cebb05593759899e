#!/usr/bin/env bash
# nir 1.0.8 (Python 3.11), the format in which simulators and chips for spiking networks exchange them: Conv1d and
# Conv2d have groups, but a graph takes the channels of the weight, c_in/n, for those of the input. A graph with the
# right input is refused ("type mismatch"), one whose input has too few channels by the factor n passes the checks and
# is written and read. Seen, 8 to 8 channels, 3 x 3:
#
#     groups  input of 8 channels  of 8 / groups
#          1  taken                taken
#          2  refused              taken
#          8  refused              taken
#
# Exits with 0 as long as that is so, for both node types.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nir==1.0.8 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/graph.nir" <<'PROGRAM'
import sys

import nir
import numpy as np


def verdict(channels, groups, dimensions):
    """What becomes of a graph with one convolution of 8 to 8 channels and an input of so many."""
    weight = np.ones((8, 8 // groups, *[3] * dimensions), dtype=np.float32)
    kind, size = (nir.Conv1d, 6) if dimensions == 1 else (nir.Conv2d, (6, 6))
    nodes = {
        "input": nir.Input({"input": np.array([channels, *[6] * dimensions])}),
        "convolution": kind(size, weight, 1, 0, 1, groups, np.zeros(8, dtype=np.float32)),
        "output": nir.Output({"output": np.array([8, *[4] * dimensions])}),
    }
    try:
        graph = nir.NIRGraph(nodes, [("input", "convolution"), ("convolution", "output")])
    except ValueError as raised:
        assert "type mismatch" in str(raised), raised
        return "refused"
    nir.write(sys.argv[1], graph)
    assert nir.read(sys.argv[1]).nodes["convolution"].groups == groups
    return "taken"


for dimensions in (1, 2):
    print(f"Conv{dimensions}d")
    for groups in (1, 2, 8):
        right, few = (verdict(channels, groups, dimensions) for channels in (8, 8 // groups))
        print(f"{groups:10}  {right:19}  {few}")
        assert (right, few) == ("taken" if groups == 1 else "refused", "taken")
PROGRAM
