"""The collectives of a layer; their errors name rank and layer."""

import contextlib
from collections.abc import Container, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import CheckpointException

from gc2l.parallel.fake_group import FakeProcessGroup


def _collectives(names: Container[str]) -> dict[str, str]:
    # torch 2.13 renamed two of them and warns about the old names.
    return {
        "all_gather": "all_gather_single" if "all_gather_single" in names else "all_gather_into_tensor",
        "reduce_scatter": "reduce_scatter_single" if "reduce_scatter_single" in names else "reduce_scatter_tensor",
        "all_to_all": "all_to_all_single",
        "all_reduce": "all_reduce",
    }


COLLECTIVES = _collectives(dir(dist))
"""Name in `torch.distributed` of each kind of collective."""

ANSWER_SECONDS = 2.0
"""How long a rank whose collective failed waits for the others before it lists those that did not answer."""

_current_layer: ContextVar[str] = ContextVar("current_layer", default="")


class RankError(RuntimeError):
    """A collective failed: another rank died, hangs, or runs another computation."""


@dataclass(frozen=True)
class Link:
    """The connection of a rank-local layer to the same layer on the other channel ranks.

    Attributes:
        group: the process group of the channel ranks, or a fake one.
        layer: path of the layer in the network.
    """

    group: dist.ProcessGroup | FakeProcessGroup
    layer: str

    @property
    def size(self) -> int:
        """Number p of channel ranks."""
        return self.group.size()

    @property
    def rank(self) -> int:
        """Number of this rank among them, from 0."""
        return self.group.rank()

    def own(self, values: Tensor, dim: int = 0) -> Tensor:
        """A copy of this rank's share of `values`, whose dimension `dim` the channel ranks divide evenly."""
        return values.detach().chunk(self.size, dim)[self.rank].clone()

    def start(self, kind: str, result: Tensor, *operands: Tensor, **options: Any) -> "Transfer":
        """Start a collective, a key of `COLLECTIVES`, whose first tensor is the result.

        Raises:
            RankError: it failed at once.
        """
        if isinstance(self.group, FakeProcessGroup):
            self.group.fill(kind, result, operands)
            return Transfer(self, kind, result, operands, None)
        with name_failed_collective(self._where(kind)), _layer(self.layer):
            work = getattr(dist, COLLECTIVES[kind])(result, *operands, group=self.group, async_op=True, **options)
        return Transfer(self, kind, result, operands, work)

    def _where(self, kind: str) -> str:
        return f"{kind} of layer {self.layer!r}"


@dataclass(frozen=True)
class Transfer:
    """A running collective; it keeps the tensors being sent alive."""

    link: Link
    kind: str
    result: Tensor
    operands: tuple[Tensor, ...]
    work: dist.Work | None

    def wait(self) -> Tensor:
        """The result, once it has arrived (on a GPU: for all that is launched on the current stream from now on).

        Raises:
            RankError: another rank died, or did not answer within the time limit of the process group.
        """
        if self.work is not None:
            with name_failed_collective(self.link._where(self.kind)):
                self.work.wait()
        return self.result


@contextlib.contextmanager
def name_failed_collective(where: str) -> Iterator[None]:
    """Add to the error of a collective in the block its name, the rank, and which other ranks answer.

    Args:
        where: such as "saving of the checkpoint".

    Raises:
        RankError: in place of what `torch.distributed` raises.
    """
    try:
        yield
    except (RuntimeError, CheckpointException) as error:
        if isinstance(error, RankError):
            raise
        raise RankError(
            f"rank {dist.get_rank()} of {dist.get_world_size()}: the {where} failed: {error}. {_describe_ranks(where)}"
        ) from error


def current_layer() -> str:
    """The layer whose collective is being started; "" outside of the layers."""
    return _current_layer.get()


@contextlib.contextmanager
def _layer(name: str) -> Iterator[None]:
    token = _current_layer.set(name)
    try:
        yield
    finally:
        _current_layer.reset(token)


def _describe_ranks(where: str) -> str:
    """Publish where this rank failed, and list which others answer."""
    here = dist.get_rank()
    silent = set(range(dist.get_world_size())) - {here}
    answers = []
    # The store may be gone with the rank that keeps it.
    with contextlib.suppress(RuntimeError, ValueError):
        store = dist.distributed_c10d._get_default_store()
        store.set(f"gc2l/failed/{here}", where)
        for rank in sorted(silent):
            with contextlib.suppress(RuntimeError):
                store.wait([f"gc2l/failed/{rank}"], timedelta(seconds=ANSWER_SECONDS))
                answers.append(f"rank {rank} stands at the {store.get(f'gc2l/failed/{rank}').decode()}")
                silent.remove(rank)
    if silent:
        answers.append(f"no word from rank {', '.join(map(str, sorted(silent)))}: dead, or hanging")
    return "; ".join(answers)
