"""What grouped.c needs to convolve inputs of one shape: tables, packed weights and the struct that names them."""

import ctypes
import math
from collections.abc import MutableMapping
from typing import ClassVar

import torch
from torch import Tensor

from gc2l.edge.copies import DIRECT, copy_of, spread
from gc2l.edge.grouped import GroupedConvolution
from gc2l.edge.tiles import blocks_and_tiles, packed, starts


class Products(ctypes.Structure):
    """The struct `products` of grouped.c."""

    _fields_: ClassVar = [
        *((name, ctypes.c_long) for name in ("terms", "blocks", "tiles")),
        *((name, ctypes.c_void_p) for name in (
            "first_filter", "first_vector", "offsets", "sources", "to", "weights", "bias",
        )),
    ]  # fmt: skip


class Convolution(ctypes.Structure):
    """The struct `convolution` of grouped.c."""

    _fields_: ClassVar = [
        *((name, ctypes.c_long) for name in (
            "images", "height", "width", "c_in", "c_out", "k", "groups", "channels", "filters", "pixels", "relu",
            "layout", "z_plane", "plane", "pitch", "padding_h", "padding_w",
        )),
        *((name, ctypes.c_void_p) for name in ("from", "places", "stored", "pieces")),
        ("own", Products),
        ("coarse", Products),
    ]  # fmt: skip


Packings = MutableMapping[tuple[str, int], Tensor]
"""Packed weights by their product, "own" or "coarse", and number of blocks."""


class Plan:
    """A convolution prepared for inputs of one shape (N, c_in, H, W).

    Args:
        of: the convolution.
        packings: of the plans of `of` for other shapes; what this one adds is put there.
        shape: of the input.

    Attributes:
        address: of the struct `convolution`.
        shape: of the output, (N, c_out, H', W').
        copies: float32 numbers of memory that each thread needs.
        coarse: float32 numbers that z needs.

    Raises:
        ValueError: an input smaller than the kernel.
    """

    def __init__(self, of: GroupedConvolution, packings: Packings, shape: tuple[int, ...]) -> None:
        self._packings = packings
        # Its tables are read by C, whatever device the caller has made the default.
        with torch.device("cpu"):
            self._prepare(of, shape)

    def _prepare(self, of: GroupedConvolution, shape: tuple[int, ...]) -> None:
        images, c_in, height, width = shape
        geometry, n = of.geometry, of.geometry.groups
        out = of.output_size((height, width))
        filters = of.filters()  # (n, K + m, c, k_h, k_w)
        k = 0 if of.restriction is None else len(of.restriction)
        inputs = torch.arange(n * filters.shape[2]) if of.inputs is None else of.inputs
        copy = copy_of(geometry, of.kernel, (height, width), bool((inputs >= 0).all()))
        direct = copy.layout == DIRECT
        # The image has the channels of all groups, a copy those of one.
        channels = inputs if direct else torch.arange(filters.shape[2])
        bias, to = _rows_of_output(of, filters.shape[1], k // n)
        pixels, z_plane = math.prod(out), spread(math.prod(out))
        places = torch.where(to < of.c_out, to * pixels, of.c_out * pixels + (to - of.c_out) * z_plane)
        self._tables: list[Tensor] = []
        self._sizes = Convolution(
            images=images, height=height, width=width, c_in=c_in, c_out=of.c_out, k=k, groups=n,
            channels=filters.shape[2], filters=filters.shape[1], pixels=pixels, relu=of.relu, layout=copy.layout,
            z_plane=z_plane, plane=copy.plane, pitch=copy.pitch, padding_h=geometry.padding[0],
            padding_w=geometry.padding[1], places=self._pointer(copy.places), stored=self._pointer(copy.stored),
            pieces=self._pointer(copy.pieces), own=self._products(
                "own", filters.flatten(2), channels[:, None] * copy.plane + copy.taps, copy.sources, places, bias,
                copied=not direct,
            ),
            **{"from": self._pointer(inputs)},
        )  # fmt: skip
        if of.coarse is not None:
            offsets, rows = torch.arange(k) * z_plane, torch.arange(of.c_out) * pixels
            coarse = of.coarse if of.outputs is None else of.coarse[of.outputs]
            nothing = torch.zeros(of.c_out, dtype=torch.float32)
            self._sizes.coarse = self._products(
                "coarse", coarse[None], offsets, copy.places, rows, nothing, copied=True
            )
        self.address = ctypes.addressof(self._sizes)
        self.shape = (images, of.c_out, *out)
        self.copies = 0 if direct else filters.shape[2] * copy.plane
        self.coarse = images * k * z_plane

    def _products(
        self, name: str, filters: Tensor, offsets: Tensor, sources: Tensor, to: Tensor, bias: Tensor, copied: bool
    ) -> Products:
        """The tables for filters (groups, K, terms)."""
        count, terms = filters.shape[1:]
        blocks, tiles = blocks_and_tiles(count, len(sources), terms, copied)
        weights = self._packings.get((name, blocks))
        if weights is None:
            weights = self._packings[name, blocks] = packed(filters, blocks).contiguous()
        tables = {
            "first_filter": starts(count, blocks), "first_vector": starts(len(sources), tiles), "offsets": offsets,
            "sources": sources, "to": to, "weights": weights, "bias": bias,
        }  # fmt: skip
        pointers = {name: self._pointer(table) for name, table in tables.items()}
        return Products(terms=terms, blocks=blocks, tiles=tiles, **pointers)

    def _pointer(self, table: Tensor) -> int:
        self._tables.append(table.contiguous())
        return self._tables[-1].data_ptr()


def _rows_of_output(of: GroupedConvolution, filters: int, m: int) -> tuple[Tensor, Tensor]:
    """(n (K + m)) bias and output channel of each filter; those of z follow c_out, negative is for none."""
    n, own = of.geometry.groups, filters - m
    fine, bias = torch.full((n * own,), -1), torch.zeros(n, filters, dtype=torch.float32)
    outputs = torch.arange(n * own) if of.outputs is None else of.outputs
    fine[outputs] = torch.arange(of.c_out)
    if of.bias is not None:
        bias[:, :own] = bias.new_zeros(n * own).index_copy(0, outputs, of.bias).view(n, own)
    coarse = of.c_out + torch.arange(n * m)
    return bias.flatten(), torch.cat((fine.view(n, own), coarse.view(n, m)), 1).flatten()
