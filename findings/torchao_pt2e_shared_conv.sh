#!/usr/bin/env bash
# torchao 0.18.0 with torch 2.13.0, CPU (Python 3.11): prepare_pt2e folds batch norms into the convolutions before them,
# and a convolution that the network calls more than once loses part of its norm. Without a bias, as is usual before a
# norm, the second call writes zeros over the shift that the first has folded: both calls return the norm without its
# shift, also with one convolution and one norm that see two images, as in a siamese network. Where the calls have norms
# of their own (shared heads of detectors), the second is also scaled by the norm of the first. No warning. The
# quantiser below quantises nothing, so the prepared network should be the network itself. Seen, with 1 and 8 groups,
# largest difference from it over its largest output:
#
#     norms          bias  call 1        call 2
#     one for both   yes   below 1e-6    below 1e-6
#     one for both   no    more than 0.2 more than 0.2
#     one for each   yes   below 1e-6    more than 0.2
#     one for each   no    more than 0.2 more than 0.2
#
# The same norms in two convolutions with equal weights are right. Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 torchao==0.18.0
"$folder/venv/bin/python" -W ignore - <<'PROGRAM'
import copy
import logging

import torch
from torch import nn

logging.disable(logging.WARNING)
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer


class Pair(nn.Module):
    def __init__(self, groups, bias, own_norms, own_convs):
        super().__init__()
        self.conv_1 = nn.Conv2d(8, 8, 3, padding=1, groups=groups, bias=bias)
        self.conv_2 = copy.deepcopy(self.conv_1) if own_convs else self.conv_1
        self.norm_1 = nn.BatchNorm2d(8)
        self.norm_2 = nn.BatchNorm2d(8) if own_norms else self.norm_1
        for norm in (self.norm_1, self.norm_2):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)

    def forward(self, x, y):
        return self.norm_1(self.conv_1(x)), self.norm_2(self.conv_2(y))


print("convolutions  norms  bias   groups  call 1   call 2")
for own_convs in (False, True):
    for own_norms in (False, True):
        for bias in (True, False):
            for groups in (1, 8):
                torch.manual_seed(0)
                network = Pair(groups, bias, own_norms, own_convs).requires_grad_(False).eval()
                images = torch.randn(2, 8, 6, 6), torch.randn(2, 8, 6, 6)
                expected = network(*images)
                prepared = prepare_pt2e(torch.export.export(network, images).module(), X86InductorQuantizer())
                first, second = (
                    ((one - other).abs().max() / other.abs().max()).item()
                    for one, other in zip(prepared(*images), expected, strict=True)
                )
                print(f"{1 + own_convs:12}  {1 + own_norms:5}  {bias!s:5}  {groups:6}  {first:.1e}  {second:.1e}")
                assert first < 1e-6 if own_convs or bias else first > 0.2
                assert second < 1e-6 if own_convs or (bias and not own_norms) else second > 0.2
PROGRAM
