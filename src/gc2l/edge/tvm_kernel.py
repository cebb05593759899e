"""The convolution of `gspc` compiled by Apache TVM, for this processor or another."""

from functools import cache
from typing import Any

import torch
import tvm
from torch import Tensor
from tvm.target import codegen

from gc2l.edge.gspc import LANES, Sizes, Tiles, default_tiles, scheduled
from gc2l.edge.grouped import GroupedConvolution


def host_target() -> Any:
    """LLVM for this processor."""
    return tvm.target.Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()})


def sizes_of(of: GroupedConvolution, shape: tuple[int, ...]) -> Sizes:
    """The sizes for a padded input of this shape (N, c_in, H, W)."""
    geometry = of.geometry
    n = geometry.groups
    return Sizes(
        images=shape[0],
        height=shape[2],
        width=shape[3],
        groups=n,
        channels=of.weight.shape[1],
        filters=len(of.weight) // n,
        coarse=0 if of.restriction is None else len(of.restriction) // n,
        kernel=of.kernel,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        out=geometry.output_size((shape[2], shape[3]), of.kernel),
        relu=of.relu,
    )


def default_blocking(sizes: Sizes) -> str:
    """"row" wherever filters would not fill the vectors."""
    return "pack" if sizes.rows % LANES == 0 and sizes.kernel != (1, 1) else "row"


@cache
def _compiled(sizes: Sizes, blocking: str, tiles: Tiles) -> Any:
    return tvm.compile(scheduled(sizes, blocking, tiles), target=host_target())["main"]


class TvmKernel:
    """`GroupedConvolution` compiled by TVM when it first sees a shape.

    Args:
        convolution: what is computed.
        blocking: one of `gspc.BLOCKINGS`; None chooses by the number of filters in a group.
    """

    def __init__(self, convolution: GroupedConvolution, blocking: str | None = None) -> None:
        self.convolution = convolution
        self.blocking = blocking
        self._prepared: dict[tuple[int, ...], tuple[Any, list[Tensor], Sizes]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """The output (N, c_out, H', W') for x (N, c_in, H, W)."""
        of = self.convolution
        x = of.selected(of.padded(x)).contiguous()
        shape = tuple(x.shape)
        if shape not in self._prepared:
            self._prepared[shape] = self._prepare(shape)
        function, tensors, sizes = self._prepared[shape]
        y = x.new_empty(shape[0], len(of.weight), *sizes.out)
        function(x, *tensors, y)
        return y if of.outputs is None else y[:, of.outputs]

    def _prepare(self, shape: tuple[int, ...]) -> tuple[Any, list[Tensor], Sizes]:
        of, sizes = self.convolution, sizes_of(self.convolution, shape)
        blocking = self.blocking or default_blocking(sizes)
        tiles = default_tiles(sizes, blocking)
        tensors = [pack(of, tiles)]
        if of.coarse is not None:
            tensors.append(of.coarse.contiguous())
        bias = torch.zeros(len(of.weight))
        if of.bias is not None:
            bias = of.bias if of.outputs is None else bias.index_copy(0, of.outputs, of.bias)
        return _compiled(sizes, blocking, tiles), [*tensors, bias.contiguous()], sizes


def pack(of: GroupedConvolution, tiles: Tiles) -> Tensor:
    """A and r as `gspc.packed_weight_shape` says."""
    both = of.filters()  # (n, K + m, c, k_h, k_w)
    blocks = both.unflatten(1, (-1, tiles.filters)).unflatten(3, (-1, tiles.inputs))  # (n, K/oc, oc, c/ic, ic, k_h, k_w)
    return blocks.permute(0, 1, 3, 5, 6, 4, 2).contiguous()
