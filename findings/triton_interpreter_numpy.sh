#!/usr/bin/env bash
# triton 3.6.0 with numpy 2.4.6 (torch 2.13.0, Python 3.11): in the interpreter (TRITON_INTERPRET=1) a loop over
# range(0, n) with a kernel argument n, as almost every kernel has one, ends in an error. The interpreter turns an array
# of shape (1,) into an int, which NumPy refuses from 2.4 on; triton does not bound NumPy's version. 3.7.1 works. Seen:
#
#     InterpreterError TypeError('only 0-dimensional arrays can be converted to Python scalars')
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check triton==3.6.0 torch==2.13.0 numpy==2.4.6
cat > "$folder/loop.py" <<'PROGRAM'
import torch, triton, triton.language as tl

@triton.jit
def count(result, n):
    total = 0
    for i in range(0, n):
        total += i
    tl.store(result, total)

try:
    count[(1,)](torch.zeros(1, dtype=torch.int32), 4)
except triton.runtime.errors.InterpreterError as error:
    print(type(error).__name__, error)
    assert "only 0-dimensional arrays can be converted" in str(error)
else:
    raise SystemExit("the loop works now")
PROGRAM
TRITON_INTERPRET=1 "$folder/venv/bin/python" "$folder/loop.py"
