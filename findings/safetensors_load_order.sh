#!/usr/bin/env bash
# safetensors 0.8.0 (numpy 2.4.6, Python 3.11): `load`, which reads the bytes of a file, returns the tensors in another
# order in every process, though the file holds them by name and `load_file` returns them so. What is drawn, summed or
# listed in the order of the dictionary then differs from run to run, with the same file and the same seed. Seen, in
# twelve processes each (number of different orders):
#
#     load_file: 1 of 12
#     load: 12 of 12
#
# (load's more than one.) Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat > "$folder/read.py" <<'PROGRAM'
import sys

from safetensors.numpy import load, load_file

function, path = sys.argv[1:]
print(*(load_file(path) if function == "load_file" else load(open(path, "rb").read())))
PROGRAM
"$folder/venv/bin/python" -c 'import sys, numpy as np
from safetensors.numpy import save_file
save_file({f"layer{i}.weight": np.zeros(2, np.float32) for i in range(8)}, sys.argv[1])' "$folder/weights.safetensors"
for function in load_file load; do
    for _ in $(seq 12); do
        "$folder/venv/bin/python" "$folder/read.py" "$function" "$folder/weights.safetensors"
    done | sort -u | wc -l > "$folder/$function"
    echo "$function: $(cat "$folder/$function") of 12"
done
test "$(cat "$folder/load_file")" -eq 1
test "$(cat "$folder/load")" -gt 1
