"""Make rank-local layers from whole ones: the geometry, and this rank's share of the parameters."""

from typing import Any

from torch import nn

from gc2l.nn import Convolution
from gc2l.nn.convolution import arguments_of, keep_padding
from gc2l.parallel.link import Link


def geometry(conv: nn.Conv2d | Convolution) -> dict[str, Any]:
    """Arguments of `nn.Conv2d` that the rank-local layer has in common with `conv`; its parameters take no memory yet.

    `take_shares` supplies them, and the padding that these arguments do not tell.
    """
    return arguments_of(conv) | {"device": "meta"}


def take_shares(local: nn.Module, whole: nn.Module, link: Link, *, dim: int = 0) -> None:
    """Give `local` this rank's share, along `dim`, of every parameter and buffer of `whole`, under the same name.

    Buffers without a dimension, which count, are alike on all ranks.
    """
    for name, value in whole.named_parameters(recurse=False):
        setattr(local, name, nn.Parameter(link.own(value, dim), requires_grad=value.requires_grad))
    for name, buffer in whole._buffers.items():
        own = buffer  # None for the statistics of a norm that keeps none
        if buffer is not None:
            own = link.own(buffer, dim) if buffer.dim() else buffer.clone()
        local.register_buffer(name, own, persistent=name not in whole._non_persistent_buffers_set)
    if isinstance(local, (nn.Conv2d, Convolution)) and isinstance(whole, (nn.Conv2d, Convolution)):
        keep_padding(local, whole)
    local.train(whole.training)


def local_convolution(conv: nn.Conv2d, link: Link) -> nn.Conv2d:
    """The convolution that needs no communication: this rank's groups, and all of the input where there is one group.

    It serves group convolutions, depthwise ones, and the stem, whose input, the images, all ranks have.

    Forward: A_j x_j of the own groups j. Input gradient: of the own groups (nobody asks for that of the images).
    Weight gradient: of the own rows, complete. Each rank holds c_out/p rows of weight and bias.

    Shape:
        input (N, c_in/p, H, W), or (N, c_in, H, W) with one group; output (N, c_out/p, H', W').
    """
    one_group = conv.groups == 1
    local = nn.Conv2d(
        conv.in_channels if one_group else conv.in_channels // link.size,
        conv.out_channels // link.size,
        groups=1 if one_group else conv.groups // link.size,
        **geometry(conv),
    )
    take_shares(local, conv, link)
    return local


def local_batch_norm(norm: nn.BatchNorm2d, link: Link) -> nn.BatchNorm2d:
    """Batch norm of the own channels; statistics are per channel, so nothing is communicated.

    Under data parallelism the statistics are those of the own data shard, as in ordinary data parallelism without
    synchronised batch norm; see `gc2l.parallel.data_parallel`.

    Shape:
        input and output (N, c/p, H, W).
    """
    local = nn.BatchNorm2d(norm.num_features // link.size, norm.eps, norm.momentum, norm.affine, device="meta")
    take_shares(local, norm, link)
    local.track_running_stats = norm.track_running_stats  # networks change it, and keep the statistics
    return local
