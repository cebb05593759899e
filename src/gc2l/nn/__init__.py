"""The convolutions, each a drop-in for `torch.nn.Conv2d`, and `make_conv`, which chooses one by name.

Group convolution is an `nn.Conv2d`. The others compute something else from their weights, and are a `Convolution`.

Shape legend, used in every file of this room:

    N            images in a batch
    H, W         height and width of the input, H', W' of the output
    n            groups (`groups`)
    m            coarse channels per group (`coarse_channels`)
    c_in, c_out  input and output channels, k_h, k_w  kernel size

The paper's symbols: A_j is `weight` (its j-th block), r_i `restriction_weight`, C `coarse_weight`.
"""

from gc2l.nn.convolution import Convolution
from gc2l.nn.factory import make_conv
from gc2l.nn.group import GroupConv2d
from gc2l.nn.learnable import LearnableGroupConv2d
from gc2l.nn.shuffle import ShuffleGroupConv2d
from gc2l.nn.sliding import SlidingChannelConv2d
from gc2l.nn.two_level import TwoLevelGroupConv2d
from gc2l.nn.two_level_shuffle import ShuffleTwoLevelGroupConv2d

__all__ = [
    "Convolution",
    "GroupConv2d",
    "LearnableGroupConv2d",
    "ShuffleGroupConv2d",
    "ShuffleTwoLevelGroupConv2d",
    "SlidingChannelConv2d",
    "TwoLevelGroupConv2d",
    "make_conv",
]
