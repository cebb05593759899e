"""The rank-local standard convolution (SC)."""

from torch import Tensor, nn

from gc2l.nn import Convolution
from gc2l.nn.convolution import padded_input, padding_widths
from gc2l.parallel.collectives import Gathering
from gc2l.parallel.link import Link
from gc2l.parallel.local import geometry, take_shares


class GatheredConv2d(Convolution):
    """Standard convolution, own output channels: y_j = A_j x needs the channels x of every rank.

    Forward: all-gather of x, then the own c_out/p rows. Input gradient: each rank has a part of the gradient of all
    of x; a reduce-scatter sums the parts and leaves each rank its channels. Weight gradient: own rows, complete.
    Each rank holds c_out/p rows of weight and bias, and, for the backward pass, the gathered x.

    A pointwise convolution with a stride uses only one pixel in stride^2, and only those are gathered.

    Args:
        conv: the whole layer, with one group.
        link: to the other channel ranks.

    Shape:
        input (N, c_in/p, H, W), output (N, c_out/p, H', W').
    """

    def __init__(self, conv: nn.Conv2d, link: Link) -> None:
        super().__init__(conv.in_channels, conv.out_channels // link.size, **geometry(conv))
        take_shares(self, conv, link)
        self.link = link
        self.subsampled = conv.kernel_size == (1, 1) and not any(padding_widths(conv))

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to the own channels, input (N, c_in/p, H, W)."""
        if not self.subsampled:
            gathered, to = padded_input(self, Gathering(input, self.link).finish())
            return to.convolve(gathered, self.weight, self.bias)
        vertical, horizontal = self.stride
        used = Gathering(input[:, :, ::vertical, ::horizontal], self.link).finish()  # (N, c_in, H', W')
        return nn.functional.conv2d(used, self.weight, self.bias)
