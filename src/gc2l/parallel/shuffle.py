"""The rank-local group convolution with channel shuffle (Shuffle)."""

import torch
from torch import Tensor

from gc2l.nn import Convolution, ShuffleGroupConv2d
from gc2l.nn.convolution import padded_input
from gc2l.ops.memory_format import is_channels_last
from gc2l.parallel.collectives import exchange_rows
from gc2l.parallel.link import Link
from gc2l.parallel.local import geometry, take_shares


class ExchangedShuffleConv2d(Convolution):
    """Group convolution of the own groups, then the channel shuffle, which sends each channel to the rank that owns it.

    Forward: A_j x_j of the own groups, then an all-to-all. Input gradient: the all-to-all back, the rest is local.
    Weight gradient: complete from what the rank has. Each rank holds weight (c_out/p, c_in/n, k_h, k_w) and bias of
    its n/p groups, that is of its channels before the shuffle.

    Args:
        conv: the whole layer; its n groups are a multiple of the p ranks.
        link: to the other channel ranks.

    Shape:
        input (N, c_in/p, H, W), output (N, c_out/p, H', W').
    """

    _send_order: Tensor
    _arrival_order: Tensor

    def __init__(self, conv: ShuffleGroupConv2d, link: Link) -> None:
        p = link.size
        super().__init__(conv.in_channels // p, conv.out_channels // p, groups=conv.groups // p, **geometry(conv))
        take_shares(self, conv, link)
        self.link = link
        share = self.out_channels
        # Entry i: the channel before the shuffle that becomes channel i.
        source = torch.arange(conv.out_channels).view(conv.groups, -1).T.flatten()
        destination = source.argsort()  # where each channel goes
        leaving = destination[link.rank * share : (link.rank + 1) * share]  # of the own channels, in their order
        arriving = source[link.rank * share : (link.rank + 1) * share]  # to the own channels, in their order
        self.sent = torch.bincount(leaving // share, minlength=p).tolist()
        self.received = torch.bincount(arriving // share, minlength=p).tolist()
        # Every rank sends to each other one in the order of the destination: there they lie by sender, then by place.
        device = self.weight.device
        self.register_buffer("_send_order", leaving.argsort().to(device), persistent=False)
        by_sender = (arriving // share).argsort(stable=True)
        self.register_buffer("_arrival_order", by_sender.argsort().to(device), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to the own channels, input (N, c_in/p, H, W)."""
        x, to = padded_input(self, input)
        y = to.convolve(x, self.weight, self.bias)  # (N, c_out/p, H', W'), before the shuffle
        rows = y.transpose(0, 1).index_select(0, self._send_order)  # (c_out/p, N, H', W')
        arrived = exchange_rows(rows, self.sent, self.received, self.link)
        memory_format = torch.channels_last if is_channels_last(y) else torch.contiguous_format
        return arrived.index_select(0, self._arrival_order).transpose(0, 1).contiguous(memory_format=memory_format)
