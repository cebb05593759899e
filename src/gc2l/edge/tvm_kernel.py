"""The convolution of `gspc` compiled by Apache TVM, for this processor or another."""

import os
from collections.abc import MutableMapping
from functools import lru_cache, partial
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

# TVM takes half of the processors for the second threads of the others, and this bound is read when it is loaded.
os.environ.setdefault("TVM_NUM_THREADS", str(os.cpu_count() or 1))

import torch
import tvm
from torch import Tensor, nn
from tvm import te, topi
from tvm.target import codegen

from gc2l.edge.grouped import GroupedConvolution
from gc2l.edge.gspc import LANES, Sizes, Tiles, default_tiles, scheduled
from gc2l.edge.kernel import SHAPES


def host_target() -> Any:
    """LLVM for this processor."""
    return tvm.target.Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()})


def set_threads(count: int) -> None:
    """How many threads TVM's functions use, at most as many as there are processors."""
    tvm.get_global_func("runtime.config_threadpool")(1, count)


def compile_unscheduled(layer: nn.Conv2d, shape: tuple[int, ...]) -> Any:
    """The function (x, weight, bias, y) of TVM's own library for `layer`, as it is lowered without a schedule."""
    x = te.placeholder(shape, name="x")
    weight = te.placeholder(tuple(layer.weight.shape), name="weight")
    bias = te.placeholder((layer.out_channels,), name="bias")
    conv = topi.nn.group_conv2d_nchw(x, weight, layer.stride, layer.padding, layer.dilation, layer.groups)
    y = te.compute(conv.shape, lambda b, o, h, w: conv[b, o, h, w] + bias[o], "y")
    function = te.create_prim_func([x, weight, bias, y]).with_attr("global_symbol", "main")
    return tvm.compile(tvm.IRModule({"main": function}), target=host_target())["main"]


def assembly(sizes: Sizes, blocking: str, target: dict[str, Any], lanes: int) -> str:
    """The assembly of the convolution for another processor, such as {"kind": "llvm", "mtriple": "aarch64-linux-gnu"}.

    Args:
        sizes: of the convolution.
        blocking: one of `gspc.BLOCKINGS`.
        target: as TVM describes it.
        lanes: numbers in one of its vectors.

    Raises:
        ValueError: a target that the installed TVM has no code for.
    """
    try:
        made = tvm.target.Target(target)
        module = tvm.compile(scheduled(sizes, blocking, default_tiles(sizes, blocking, lanes), lanes), target=made).mod
    except Exception as error:
        # TVM raises errors of its own kinds.
        raise ValueError(f"target={target} cannot be compiled by TVM {tvm.__version__}: {error}") from error
    return str(module.inspect_source("asm"))


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
        out=of.output_size((shape[2], shape[3])),
        relu=of.relu,
    )


def default_blocking(sizes: Sizes) -> str:
    """ "row" wherever filters would not fill the vectors."""
    return "pack" if sizes.rows % LANES == 0 and sizes.kernel != (1, 1) else "row"


# Layers of the same sizes share a function: a network of 60 different ones fits for 8 shapes of its input.
@lru_cache(512)
def _compiled(sizes: Sizes, blocking: str, tiles: Tiles) -> Any:
    return tvm.compile(scheduled(sizes, blocking, tiles), target=host_target())["main"]


class Prepared(NamedTuple):
    """A convolution for inputs of one shape: the function, what it takes beside x, and the sizes."""

    function: Any
    tensors: tuple[Tensor, ...]
    sizes: Sizes


class TvmKernel:
    """`GroupedConvolution` compiled by TVM when it first sees a shape; it keeps the last `SHAPES` of them.

    Args:
        convolution: what is computed.
        blocking: one of `gspc.BLOCKINGS`; None chooses by the number of filters in a group.
    """

    def __init__(self, convolution: GroupedConvolution, blocking: str | None = None) -> None:
        self.convolution = convolution
        self.prepared = lru_cache(SHAPES)(partial(_prepare, convolution, blocking, WeakValueDictionary()))

    def __call__(self, x: Tensor) -> Tensor:
        """The output (N, c_out, H', W') for x (N, c_in, H, W)."""
        of = self.convolution
        x = of.selected(of.padded(x)).contiguous()
        function, tensors, sizes = self.prepared(x.shape)
        y = x.new_empty(x.shape[0], len(of.weight), *sizes.out)
        function(x, *tensors, y)
        return y if of.outputs is None else y[:, of.outputs]


def _prepare(
    of: GroupedConvolution,
    blocking: str | None,
    packings: MutableMapping[tuple[int, int], Tensor],
    shape: tuple[int, ...],
) -> Prepared:
    """For a padded input of this shape; `packings` are those of other shapes, by the sizes of their blocks."""
    sizes = sizes_of(of, shape)
    blocking = blocking or default_blocking(sizes)
    tiles = default_tiles(sizes, blocking)
    key = tiles.inputs, tiles.filters
    weights = packings.get(key)
    if weights is None:
        weights = packings[key] = pack(of, tiles)
    coarse = () if of.coarse is None else (of.coarse.contiguous(),)
    bias = torch.zeros(len(of.weight), dtype=torch.float32, device="cpu")
    if of.bias is not None:
        bias = of.bias if of.outputs is None else bias.index_copy(0, of.outputs, of.bias)
    return Prepared(_compiled(sizes, blocking, tiles), (weights, *coarse, bias.contiguous()), sizes)


def pack(of: GroupedConvolution, tiles: Tiles) -> Tensor:
    """A and r as `gspc.packed_weight_shape` says."""
    both = of.filters()  # (n, K + m, c, k_h, k_w)
    blocks = both.unflatten(1, (-1, tiles.filters)).unflatten(
        3, (-1, tiles.inputs)
    )  # (n, K/oc, oc, c/ic, ic, k_h, k_w)
    return blocks.permute(0, 1, 3, 5, 6, 4, 2).contiguous()
