#!/usr/bin/env bash
# triton 3.7.1 (and 3.6.0; torch 2.13.0, numpy 2.4.6, Python 3.11): in the interpreter (TRITON_INTERPRET=1) tl.dot of
# two bfloat16 blocks multiplies the bits of the numbers as if they were integers, and says nothing. NumPy has no
# bfloat16, the interpreter keeps it as uint16, and the product widens 8-bit floats only. A kernel that is right on a
# card is wrong by ten orders of magnitude there; a wrong one may be compared with wrong numbers. float16 is right. Seen
# (the largest error of a product of two 16 x 16 blocks of normal numbers):
#
#     torch.float16 0.0
#     torch.bfloat16 20000000000.0
#
# (the second to one digit.) Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check triton==3.7.1 torch==2.13.0 numpy==2.4.6
cat > "$folder/product.py" <<'PROGRAM'
import torch, triton, triton.language as tl

@triton.jit
def product(a, b, c):
    i = tl.arange(0, 16)
    at = i[:, None] * 16 + i[None, :]
    tl.store(c + at, tl.dot(tl.load(a + at), tl.load(b + at)))

torch.manual_seed(0)
errors = []
for dtype in (torch.float16, torch.bfloat16):
    a, b, c = torch.randn(16, 16).to(dtype), torch.randn(16, 16).to(dtype), torch.empty(16, 16)
    product[(1,)](a, b, c)
    errors.append((c - a.float() @ b.float()).abs().max().item())
    print(dtype, float(f"{errors[-1]:.0e}"))
assert errors[0] < 1e-3 and errors[1] > 1e6
PROGRAM
TRITON_INTERPRET=1 "$folder/venv/bin/python" "$folder/product.py"
