"""Checkpoints of a rank-local network: each rank writes its share, and any number of ranks can read them."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer

from gc2l.files import SUMS, DamagedError, sha256, sums_problems, write_sums
from gc2l.parallel.link import name_failed_collective
from gc2l.parallel.optimizer_state import OptimizerState, check_same_optimizer, read_groups, read_state, restore
from gc2l.parallel.state import distribute

PROGRESS = "progress.pt"
"""The file of a sharded checkpoint for values that are equal on all ranks: progress, and the optimizer's numbers."""

_METADATA_NAMES = {
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
    "torch.Size",
    "torch.serialization._get_layout",
    "torch.distributed.checkpoint.filesystem._StorageInfo",
    *(
        f"torch.distributed.checkpoint.metadata.{name}"
        for name in (
            "ChunkStorageMetadata",
            "Metadata",
            "MetadataIndex",
            "StorageMeta",
            "TensorProperties",
            "TensorStorageMetadata",
            "_MEM_FORMAT_ENCODING",
        )
    ),
}


def save_sharded(
    folder: Path, network: nn.Module, optimizer: Optimizer, progress: dict[str, Any], mesh: DeviceMesh
) -> None:
    """Write network, optimizer state and `progress` to `folder`, replacing what is there; every rank has to call.

    It is written to `*.partial` beside `folder`, and the old one is `*.outdated` until the new one has its place: a
    killed job leaves the old checkpoint or the new one, which the functions of this file find under either name. The
    running statistics are those of the first data rank unless `average_buffers` was called before.

    Args:
        folder: on a file system that all ranks share.
        network: rank-local.
        optimizer: of its parameters, such as SGD, Adam or AdamW.
        progress: plain values that are alike on all ranks, such as the epoch and the curve.
        mesh: of (data, channel).

    Raises:
        ValueError: the optimizer keeps more than numbers and tensors of its parameters' shapes, or has a parameter that
            is not of the network; an older checkpoint is still there.
        RankError: another rank died, or did not answer in time; an older checkpoint is still there.
    """
    kept = read_state(network, optimizer)
    shared = {
        "progress": progress,
        "optimizer": type(optimizer).__name__,
        "groups": read_groups(network, optimizer),
        "alike": kept.alike,
    }
    with name_failed_collective("saving of the checkpoint"):
        partial, outdated = _partial(folder), _outdated(folder)
        if dist.get_rank() == 0:
            _clear(folder)
        dist.barrier()
        dcp.save(_tensors(network, mesh) | _moments(kept, network, mesh), checkpoint_id=partial)
        dist.barrier()
        if dist.get_rank() == 0:
            torch.save(shared, partial / PROGRESS)
            write_sums(partial, {file.name: sha256(file) for file in partial.iterdir()})
            if folder.exists():
                folder.rename(outdated)
            partial.rename(folder)
            _clear(folder)
        dist.barrier()


def load_sharded(folder: Path, network: nn.Module, optimizer: Optimizer, mesh: DeviceMesh) -> dict[str, Any]:
    """Load what `save_sharded` wrote, at this or another number of ranks, into network and optimizer.

    Returns:
        `progress`.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: the checkpoint is of another network, such as one with other n, of another optimizer or other
            parameter groups, or its metadata holds more than metadata; nothing is changed.
        RankError: another rank died, or did not answer in time, or a file cannot be read; the network may have changed.
    """
    folder = _newest(folder)
    if not (folder / ".metadata").exists():
        raise FileNotFoundError(f"{folder} is no sharded checkpoint")
    reader = _Reader(folder)
    saved = reader.read_metadata().state_dict_metadata
    shared = _read_shared(folder)
    state = _tensors(network, mesh)
    _check(folder, {name: tuple(value.shape) for name, value in state.items()}, saved)
    try:
        check_same_optimizer(network, optimizer, shared.get("optimizer"), shared["groups"])
    except ValueError as error:
        raise ValueError(f"the checkpoint {folder} does not fit: {error}") from error
    kept = OptimizerState(alike=shared.get("alike", {}))
    for name, parameter in network.named_parameters():
        for key in _moment_names(name, saved):
            kept.divided.setdefault(key, {})[name] = torch.zeros_like(parameter, requires_grad=False)
    with name_failed_collective("loading of the checkpoint"):
        dcp.load(state | _moments(kept, network, mesh), storage_reader=reader)
    restore(network, optimizer, shared["groups"], kept)
    return shared["progress"]


def check_sharded(folder: Path) -> None:
    """Compare all files of a sharded checkpoint with the list written with it; one process does it for all.

    Raises:
        DamagedError: a file is not what was written, is missing, or does not belong to it; the message names it.
        FileNotFoundError: there is no checkpoint.
    """
    folder = _newest(folder)
    if problems := sums_problems(folder, (file for file in folder.iterdir() if file.name != SUMS)):
        raise DamagedError("; ".join(problems))


def read_progress(folder: Path) -> dict[str, Any]:
    """The `progress` of a sharded checkpoint.

    Raises:
        FileNotFoundError: there is no checkpoint.
    """
    return _read_shared(_newest(folder))["progress"]


def _partial(folder: Path) -> Path:
    """Where a checkpoint is while it is written or removed: nobody reads it."""
    return folder.with_name(f"{folder.name}.partial")


def _outdated(folder: Path) -> Path:
    """Where the old checkpoint is while the new one takes its place: always a whole one."""
    return folder.with_name(f"{folder.name}.outdated")


def _newest(folder: Path) -> Path:
    """The checkpoint in `folder`, or the one that was there before a job was killed between two renames."""
    return _outdated(folder) if _outdated(folder).exists() and not folder.exists() else folder


def _clear(folder: Path) -> None:
    """Leave the newest whole checkpoint in `folder`, and nothing beside it, wherever a job was killed."""
    partial, outdated = _partial(folder), _outdated(folder)
    shutil.rmtree(partial, ignore_errors=True)
    if not outdated.exists():
        return
    if folder.exists():
        outdated.rename(partial)
        shutil.rmtree(partial, ignore_errors=True)
    else:
        outdated.rename(folder)


def _read_shared(folder: Path) -> dict[str, Any]:
    return torch.load(folder / PROGRESS, map_location="cpu", weights_only=True)


class _Reader(dcp.FileSystemReader):
    """Reads a checkpoint whose metadata, a pickle, is checked first: as it is, it could run any code."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The metadata.

        Raises:
            ValueError: it names anything but what metadata is made of.
        """
        with (Path(self.path) / ".metadata").open("rb") as stream:
            try:
                _MetadataUnpickler(stream).load()
            except Exception as error:  # a damaged pickle raises almost anything
                raise ValueError(f"{stream.name} cannot be read: {error}") from error
        return super().read_metadata(*args, **kwargs)


class _MetadataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Let through the names that such metadata has, and no other."""
        dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if dtype or f"{module}.{name}" in _METADATA_NAMES:
            return super().find_class(module, name)
        raise ValueError(f"it is no metadata of a checkpoint: it names {module}.{name}")


def _tensors(network: nn.Module, mesh: DeviceMesh) -> dict[str, Any]:
    shares = distribute(network.state_dict(), network, mesh)
    return {f"network/{name}": value for name, value in shares.items()}


def _moments(state: OptimizerState, network: nn.Module, mesh: DeviceMesh) -> dict[str, Any]:
    return {
        f"optimizer/{key}/{name}": share
        for key, values in state.divided.items()
        for name, share in distribute(values, network, mesh).items()
    }


def _moment_names(parameter: str, saved: dict[str, Any]) -> Iterator[str]:
    for name in saved:
        kind, _, rest = name.partition("/")
        key, _, path = rest.partition("/")
        if kind == "optimizer" and path == parameter:
            yield key


def _check(folder: Path, shapes: dict[str, tuple[int, ...]], saved: dict[str, Any]) -> None:
    had = {
        name: tuple(entry.size)
        for name, entry in saved.items()
        if isinstance(entry, TensorStorageMetadata) and name.startswith("network/")
    }
    for name in sorted(had.keys() | shapes.keys()):
        if had.get(name) != shapes.get(name):
            raise ValueError(
                f"the checkpoint {folder} is of another network: {name.removeprefix('network/')} has shape "
                f"{had.get(name, 'none')} there and {shapes.get(name, 'none')} here; were variant or groups changed?"
            )
