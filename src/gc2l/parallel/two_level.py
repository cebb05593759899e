"""The rank-local two-level group convolution (GC-2L), paper section 3.2."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gc2l.nn import Convolution, TwoLevelGroupConv2d
from gc2l.nn.convolution import geometry_of, padded_input
from gc2l.ops import two_steps
from gc2l.ops.choose import choose_two_steps
from gc2l.ops.geometry import Geometry
from gc2l.parallel.collectives import Gathering
from gc2l.parallel.link import Link
from gc2l.parallel.local import geometry, take_shares


class GatheredTwoLevelConv2d(Convolution):
    """GC-2L, own groups: y_j = A_j x_j + C_j z needs only the m representatives z_i of every group i.

    Forward: z_i = r_i x_i of the own groups, all-gather of z, A_j x_j meanwhile, then C_j z. Input gradient: the
    gradient of z, of which each rank has the part of its own rows C_j, is summed by a reduce-scatter; the rest is
    local. Weight gradients: complete from what the rank has. No weight and no weight gradient is sent.
    Each rank holds A_j (c_out/p, c_in/n, k_h, k_w), r_i (n m/p, c_in/n, k_h, k_w), C_j (c_out/p, n m, 1, 1) and the
    bias (c_out/p) of its n/p groups.

    Args:
        conv: the whole layer; its n groups are a multiple of the p ranks.
        link: to the other channel ranks.
        overlap: compute A_j x_j while z is gathered, and in the backward pass its gradients while that of z is
            reduced; otherwise one after the other, as in the paper.

    Shape:
        input (N, c_in/p, H, W), output (N, c_out/p, H', W').
    """

    restriction_weight: Tensor
    coarse_weight: nn.Parameter

    def __init__(self, conv: TwoLevelGroupConv2d, link: Link, *, overlap: bool) -> None:
        p = link.size
        super().__init__(conv.in_channels // p, conv.out_channels // p, groups=conv.groups // p, **geometry(conv))
        take_shares(self, conv, link)
        self.link = link
        self.overlap = overlap

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to the own channels, input (N, c_in/p, H, W)."""
        fast = choose_two_steps(input, self.weight, geometry_of(self))
        x, to = padded_input(self, input)
        if fast:
            return self._in_two_steps(x, to)
        own_z = to.convolve(x, self.restriction_weight, None)  # (N, n m/p, H', W')
        if self.overlap:
            gathering = Gathering(own_z, self.link)
            y = to.convolve(x, self.weight, self.bias)  # (N, c_out/p, H', W')
            z = gathering.finish()  # (N, n m, H', W')
        else:
            z = Gathering(own_z, self.link).finish()
            y = to.convolve(x, self.weight, self.bias)
        return y + F.conv2d(z, self.coarse_weight)

    def _in_two_steps(self, x: Tensor, to: Geometry) -> Tensor:
        """The same with the hand-written gradients of `gc2l.ops.two_steps`."""
        gathering = Gathering(two_steps.restrict(x, self.restriction_weight, to), self.link, dim=0)
        z = None if self.overlap else gathering.finish()  # (n m, N, H', W')
        y = to.convolve(x, self.weight, self.bias).contiguous(memory_format=torch.channels_last)
        return two_steps.add_coarse(y, gathering.finish() if z is None else z, self.coarse_weight)
