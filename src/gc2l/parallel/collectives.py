"""Collectives with gradients: what each rank gives and gets, forward and backward.

They act on the first dimension, so that the data sent is contiguous; `Gathering` puts channels there. With p
ranks, `rows` own rows and any further dimensions `...`:

    collective     own tensor   result          gradient of the result  gradient of the own tensor
    all-gather     (rows, ...)  (p rows, ...)   differs between ranks   reduce-scatter: the sum over the ranks of theirs
    all-to-all     (rows, ...)  (rows', ...)    own rows of it          all-to-all back
    sum            (...)        (...), alike    alike on all ranks      that gradient itself, nothing is sent
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from gc2l.ops.memory_format import is_channels_last
from gc2l.parallel.link import Link, Transfer


class Gathering:
    """An all-gather of channels under way: (N, c, H, W) of each rank to (N, p c, H, W), in the order of the ranks.

    It starts with the object; `finish` waits for it. In the backward pass the reduce-scatter starts where `finish`
    stands in the forward pass and is waited for where the object was made: what is computed between the two in the
    forward pass has its gradients computed between them in the backward pass.

    Also for matrices (c, n) to (p c, n), with `dim=0`.
    """

    def __init__(self, x: Tensor, link: Link, *, dim: int = 1) -> None:
        self._dim = dim
        channels_last = x.dim() == 4 and is_channels_last(x)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._exchange = _Exchange(link)
        self._buffer = _StartGather.apply(x.transpose(0, dim).contiguous(), self._exchange)

    def finish(self) -> Tensor:
        """The gathered tensor.

        Raises:
            RankError: see `Transfer.wait`.
        """
        gathered = _FinishGather.apply(self._buffer, self._exchange)
        return gathered.transpose(0, self._dim).contiguous(memory_format=self._format)


def exchange_rows(x: Tensor, sent: list[int], received: list[int], link: Link) -> Tensor:
    """All-to-all: `sent[r]` rows of x to rank r, in their order; the result has `received[r]` rows from rank r."""
    return _AllToAll.apply(x.contiguous(), sent, received, link)


def sum_over_ranks(x: Tensor, link: Link) -> Tensor:
    """The sum of all ranks' x, alike on all of them; what follows must be computed alike on all of them."""
    return _Sum.apply(x, link)


class _Exchange:
    """The transfer that the two halves of a gathering share."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.transfer: Transfer | None = None

    def wait(self) -> Tensor:
        assert self.transfer is not None, "the half that starts comes first"
        result, self.transfer = self.transfer.wait(), None
        return result


class _StartGather(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, exchange: _Exchange) -> Tensor:
        ctx.exchange = exchange
        gathered = x.new_empty(exchange.link.size * x.shape[0], *x.shape[1:])
        exchange.transfer = exchange.link.start("all_gather", gathered, x)
        return gathered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        return ctx.exchange.wait(), None


class _FinishGather(Function):
    @staticmethod
    def forward(ctx: Any, gathered: Tensor, exchange: _Exchange) -> Tensor:
        ctx.exchange = exchange
        exchange.wait()
        return gathered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        exchange, gradient = ctx.exchange, gradient.contiguous()
        own = gradient.new_empty(gradient.shape[0] // exchange.link.size, *gradient.shape[1:])
        exchange.transfer = exchange.link.start("reduce_scatter", own, gradient)
        return gradient, None


class _AllToAll(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sent: list[int], received: list[int], link: Link) -> Tensor:
        ctx.sent, ctx.received, ctx.link = sent, received, link
        return _all_to_all(x, sent, received, link)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _all_to_all(gradient.contiguous(), ctx.received, ctx.sent, ctx.link), None, None, None


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, link: Link) -> Tensor:
        return link.start("all_reduce", x.clone(memory_format=torch.contiguous_format)).wait()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _all_to_all(x: Tensor, sent: list[int], received: list[int], link: Link) -> Tensor:
    result = x.new_empty(sum(received), *x.shape[1:])
    splits = {"output_split_sizes": received, "input_split_sizes": sent}
    return link.start("all_to_all", result, x, **splits).wait()
