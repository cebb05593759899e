"""Channel-parallel training inside Lightning: the strategy, and what each rank sends in a step."""

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import TorchElasticEnvironment
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.optim import Optimizer

from gc2l.cells import Cell
from gc2l.data import dataset_info
from gc2l.data.loader import drops_last
from gc2l.parallel import (
    Job,
    Traffic,
    check_same_on_all_ranks,
    load_sharded,
    name_failed_collective,
    record_traffic,
    save_sharded,
)
from gc2l.records import Rank
from gc2l.training.execution import Execution
from gc2l.training.memory import peak_memory_bytes


class ChannelParallelStrategy(ModelParallelStrategy):
    """Lightning's model parallelism on the job's own mesh, with checkpoints that any number of ranks can read.

    The module divides its network in `configure_model`, by `gc2l.parallel.parallelize`.

    Args:
        job: process group and mesh, which exist already: ranks have to agree before there is a trainer.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(data_parallel_size=job.data_ranks, tensor_parallel_size=job.channel_ranks)
        self.job = job
        self._device_mesh = job.mesh

    def setup_environment(self) -> None:
        """Set device and ranks for Lightning."""
        assert self.accelerator is not None
        self.accelerator.setup_device(self.root_device)
        self.set_world_ranks()

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks."""
        with name_failed_collective("waiting for all ranks"):
            super().barrier(name)

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """`obj` of rank `src`, on every rank."""
        with name_failed_collective("agreement on a value"):
            return super().broadcast(obj, src)

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """`tensor`, reduced over all ranks; other values as they are."""
        with name_failed_collective("averaging of a figure over all ranks"):
            return super().reduce(tensor, group, reduce_op)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Nothing: `save_checkpoint` writes the weights."""
        return {}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Nothing: `save_checkpoint` writes the optimizer's tensors."""
        return {}

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write the shares of all ranks into the folder `filepath`."""
        save_sharded(Path(filepath), self._network(), self.optimizers[0], checkpoint, self.job.mesh)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read this rank's shares, written by this or another number of ranks."""
        return load_sharded(Path(checkpoint_path), self._network(), self.optimizers[0], self.job.mesh)

    def _network(self) -> torch.nn.Module:
        assert self.lightning_module is not None
        return self.lightning_module.network  # type: ignore[return-value]


class OwnSigterm(pl.Callback):
    """Leaves SIGTERM to the handler that the process had.

    Lightning's sends a broadcast from within the handler, wherever the process happens to be. torchrun sends SIGTERM
    to the others when a rank is lost, and the broadcast then fails, with an error in the middle of anything.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, *_: Any) -> None:
        """Take back what the trainer has replaced since its own setup."""
        signal.signal(signal.SIGTERM, self._handler)


class StepTraffic(pl.Callback):
    """Counts what the first training step sends; a session without a step has the counts of its checkpoint, rank 0's.

    Attributes:
        counts: the fields `collectives` and `received_bytes` of `RankResult`.
    """

    def __init__(self) -> None:
        self.counts = {"collectives": 0, "received_bytes": 0}
        self._traffic: list[Traffic] = []
        self._recording: contextlib.ExitStack | None = contextlib.ExitStack()

    def on_train_batch_start(self, *_: Any) -> None:
        """Begin."""
        if self._recording is not None:
            self._traffic = self._recording.enter_context(record_traffic())

    def on_train_batch_end(self, *_: Any) -> None:
        """The optimizer has made its step."""
        if self._recording is not None:
            self._end()
            received = sum(one.received for one in self._traffic)
            self.counts = {"collectives": len(self._traffic), "received_bytes": received}

    def on_exception(self, *_: Any) -> None:
        """A failed step is not recorded further."""
        self._end()

    def state_dict(self) -> dict[str, Any]:
        """The counts, for the checkpoint."""
        return self.counts

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counts of the session before."""
        self.counts = dict(state_dict)

    def _end(self) -> None:
        if self._recording is not None:
            self._recording.close()
            self._recording = None


def prepare_ranks(cell: Cell, execution: Execution, job: Job) -> Execution:
    """Check that all ranks can train `cell` together; returns the execution with the defaults of several ranks.

    Raises:
        ValueError: ranks with different cells or executions, more data ranks than images in a batch, or compilation
            or CUDA graphs asked for, which the collectives do not pass through.
    """
    check_same_on_all_ranks("cell (hash of its configuration)", cell.identity)
    check_same_on_all_ranks("execution", repr((execution, job.overlap)))
    rows, size = dataset_info(cell.data.name).train_rows, cell.training.batch_size
    smallest = size if drops_last(rows, size) else rows % size or size
    if job.data_ranks > smallest:
        raise ValueError(
            f"{job.data_ranks} ranks cannot divide the epoch's last batch of {smallest} images (training.batch_size="
            f"{size}); take more parallel.channels or fewer processes"
        )
    if execution.compile:
        raise ValueError("execution.compile=True: channel-parallel training is not compiled; leave it out")
    if execution.cuda_graphs:
        raise ValueError("execution.cuda_graphs=True: channel-parallel steps are not captured; leave it out")
    return replace(execution, compile=False, cuda_graphs=False)


def ranks_of_trainer(job: Job) -> dict[str, Any]:
    """The arguments of `Trainer` that say on which devices it runs."""
    on_this_host = int(os.environ["LOCAL_WORLD_SIZE"])
    return {
        "devices": on_this_host,
        "num_nodes": int(os.environ["WORLD_SIZE"]) // on_this_host,
        "strategy": ChannelParallelStrategy(job),
        "plugins": [TorchElasticEnvironment()],
        # Every rank reads whole batches, of which `Job.share` takes its part: a sampler would divide them once more.
        "use_distributed_sampler": False,
    }


def describe_ranks(network: torch.nn.Module, counts: Mapping[str, int], job: Job, device: str) -> tuple[Rank, ...]:
    """What each rank held and sent; all of them call."""
    own = {
        "parameters": sum(value.numel() for value in network.parameters()),
        "peak_memory_bytes": peak_memory_bytes(device),
        **counts,
    }
    return tuple(Rank(**figures) for figures in job.gather({**job.place(), **own}))
