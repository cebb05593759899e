"""The rank-local fully learnable group convolution (FLGC)."""

from torch import Tensor

from gc2l.nn import Convolution, LearnableGroupConv2d
from gc2l.nn.convolution import padded_input
from gc2l.nn.learnable import straight_through
from gc2l.parallel.collectives import Gathering
from gc2l.parallel.link import Link
from gc2l.parallel.local import geometry, take_shares


class GatheredLearnableConv2d(Convolution):
    """FLGC, own output channels: the mask of the own rows can pick any input channel, so all of them are gathered.

    The mask changes from step to step. An input channel is needless to a rank only when none of the rank's c_out/p
    output channels is in its group, which hardly happens while c_out/p is well above n.

    Forward: all-gather of x and of the input logits S, the mask T_j S^T of the own rows, then these rows. Input
    gradient, and gradient of S: each rank has a part of all of it, a reduce-scatter sums the parts. Gradients of the
    weight and of T: own rows, complete. Each rank holds c_out/p rows of weight, bias and T, and c_in/p rows of S.

    Args:
        conv: the whole layer; its number of groups is free.
        link: to the other channel ranks.

    Shape:
        input (N, c_in/p, H, W), output (N, c_out/p, H', W').
    """

    input_logits: Tensor
    output_logits: Tensor

    def __init__(self, conv: LearnableGroupConv2d, link: Link) -> None:
        super().__init__(conv.in_channels, conv.out_channels // link.size, **geometry(conv))
        take_shares(self, conv, link)
        self.link = link

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to the own channels, input (N, c_in/p, H, W)."""
        channels = Gathering(input, self.link)
        logits = Gathering(self.input_logits, self.link, dim=0).finish()  # (c_in, n)
        mask = straight_through(self.output_logits) @ straight_through(logits).T  # (c_out/p, c_in)
        gathered, to = padded_input(self, channels.finish())
        return to.convolve(gathered, self.weight * mask[:, :, None, None], self.bias)
