#!/usr/bin/env bash
# torch 2.13.0, CPU (Python 3.11): torch.compile with torch._inductor.config.freezing writes the result of a convolution
# into a parameter of the network. A parameter of the output's own shape, such as a learned map of positions for batches
# of one, is added by an in-place operation of oneDNN if it is channels last. The first call is right; every further one
# adds the convolution once more, and the network that was compiled is changed as well. The same with a parameter that
# is broadcast is right. Seen, for a convolution with 4 groups, largest difference from the network before it was
# compiled, over its largest output:
#
#     parameter      call 1      call 2      call 3      the network itself, after
#     1, 16, 1, 1    below 1e-6  below 1e-6  below 1e-6  below 1e-6
#     1, 16, 6, 6    below 1e-6  0.57        1.1         1.7
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/program.py" <<'PROGRAM'
import torch
from torch import nn
from torch._inductor import config


class Positioned(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.position = nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return self.conv(x) + self.position


config.freezing = True
print("parameter    calls                    the network itself, after")
for side in (1, 6):
    torch.manual_seed(0)
    torch._dynamo.reset()
    network = Positioned(1, 16, side, side).eval().to(memory_format=torch.channels_last)
    x = torch.randn(1, 16, 6, 6).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = network(x).clone()
        compiled = torch.compile(network)
        outputs = [compiled(x).clone() for _ in range(3)] + [network(x)]
    errors = [((output - expected).abs().max() / expected.abs().max()).item() for output in outputs]
    print(f"1, 16, {side}, {side}  " + "  ".join(f"{error:.1e}" for error in errors))
    assert errors[0] < 1e-6
    assert max(errors) < 1e-6 if side == 1 else min(errors[1:]) > 0.1
PROGRAM
TORCHINDUCTOR_CACHE_DIR="$folder/cache" "$folder/venv/bin/python" "$folder/program.py"
