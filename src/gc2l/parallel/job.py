"""A job started by `torchrun`, of which this process is one rank."""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from gc2l.parallel.link import Link, name_failed_collective
from gc2l.parallel.mesh import CHANNEL, DATA, make_mesh

_BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
_FOREVER = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """How the ranks of a job share the work; none of it is part of a cell's identity.

    Attributes:
        channels: p, the ranks that divide the channels of every layer; with more ranks than that, the others divide
            each batch. By default one process trains alone.
        overlap: compute GC-2L's group convolution while the representatives are gathered.
        timeout_seconds: a rank that does not answer for so long counts as lost.

    Raises:
        ValueError: channels or timeout_seconds not above 0.
    """

    channels: int | None = None
    overlap: bool = True
    timeout_seconds: float = 300.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.channels is not None and self.channels < 1:
            raise ValueError(f"parallel.channels={self.channels} must be at least 1")
        if not self.timeout_seconds > 0:
            raise ValueError(f"parallel.timeout_seconds={self.timeout_seconds} must be above 0")


@dataclass(frozen=True)
class Job:
    """This process's place in the job.

    Attributes:
        mesh: the ranks as (data, channel).
        overlap: see `Parallel`.
    """

    mesh: DeviceMesh
    overlap: bool

    @property
    def rank(self) -> int:
        """Number of this process among all of the job, from 0."""
        return dist.get_rank()

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        if self.mesh.device_type == "cuda":
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")

    @property
    def channel_ranks(self) -> int:
        """Ranks that divide the channels, p."""
        return self.mesh.shape[1]

    @property
    def data_ranks(self) -> int:
        """Ranks that divide a batch."""
        return self.mesh.shape[0]

    def place(self) -> dict[str, int | str]:
        """Rank, coordinates in the mesh, and host."""
        return {
            "rank": self.rank,
            "channel": self.mesh.get_local_rank(CHANNEL),
            "data": self.mesh.get_local_rank(DATA),
            "host": socket.gethostname(),
        }

    def share(self, batch: Tensor) -> Tensor:
        """This rank's part of a batch (N, ...), whose images the data ranks divide as evenly as they can be."""
        return batch.tensor_split(self.data_ranks)[self.mesh.get_local_rank(DATA)]

    def sum_over_data(self, value: Tensor, name: str) -> Tensor:
        """The sum of all data ranks' `value`; `name` is for error messages.

        Raises:
            RankError: another rank died, or did not answer in time.
        """
        if self.data_ranks == 1:
            return value
        return Link(self.mesh.get_group(DATA), name).start("all_reduce", value.clone()).wait()

    def agree(self, value: Any) -> Any:
        """Rank 0's `value`, on every rank."""
        values = [value]
        with name_failed_collective("agreement on a value"):
            dist.broadcast_object_list(values, device=self.device)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """All ranks' values, in the order of the ranks, on every rank."""
        values = [None] * dist.get_world_size()
        with name_failed_collective("gathering of all ranks' values"):
            dist.all_gather_object(values, value)
        return values

    def announce(self, message: str) -> None:
        """Publish a message for all ranks, once per job; unlike a collective it has no time limit."""
        _store().set("gc2l/announcement", message)

    def await_announcement(self) -> str:
        """Wait for that message."""
        _store().wait(["gc2l/announcement"], _FOREVER)
        return _store().get("gc2l/announcement").decode()


@contextlib.contextmanager
def join_job(parallel: Parallel, *, device: str) -> Iterator[Job | None]:
    """Join the other ranks for the length of the block; yields None where one process trains alone.

    Args:
        parallel: how the ranks share the work.
        device: "cpu" (gloo) or "cuda" (NCCL, the GPU of the local rank).

    Raises:
        ValueError: channels are to be divided without torchrun, torchrun runs without `channels`, `channels` does not
            divide the number of ranks, or a device without collectives.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 0
    if parallel.channels is None:
        if ranks > 1:
            raise ValueError(
                f"torchrun started {ranks} processes that would all train the same: add --parallel.channels {ranks}"
            )
        yield None
        return
    if not ranks:
        raise ValueError(
            f"parallel.channels={parallel.channels} needs that many processes: start "
            f"torchrun --nproc-per-node {parallel.channels} in place of python"
        )
    if device not in _BACKENDS:
        raise ValueError(f"execution.device={device!r} cannot divide channels; choose one of {', '.join(_BACKENDS)}")
    options: dict[str, Any] = {"timeout": timedelta(seconds=parallel.timeout_seconds)}
    if device == "cuda":
        options["device_id"] = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(options["device_id"])
    store, rank, world = next(dist.rendezvous("env://", timeout=options["timeout"]))
    # torchrun keeps its store when it restarts a job, and in it the addresses of the ranks that died.
    attempt = dist.PrefixStore(f"attempt{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    dist.init_process_group(_BACKENDS[device], store=attempt, rank=rank, world_size=world, **options)
    try:
        yield Job(make_mesh(parallel.channels, device=device), parallel.overlap)
    finally:
        dist.destroy_process_group()


def _store() -> dist.Store:
    return dist.distributed_c10d._get_default_store()
