"""Checkpoints of a rank-local network: each rank writes its share, and any number of ranks can read them."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer

from gc2l.files import SUMS, DamagedError, sha256, sums_problems, write_sums
from gc2l.parallel.link import name_failed_collective
from gc2l.parallel.state import distribute

PROGRESS = "progress.pt"
"""The file of a sharded checkpoint for values that are equal on all ranks: progress, and the optimizer's rates."""

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

    It is written to a temporary folder and renamed: a killed job leaves the old checkpoint or the new one. The
    running statistics are those of the first data rank unless `average_buffers` was called before.

    Args:
        folder: on a file system that all ranks share.
        network: rank-local.
        optimizer: of its parameters.
        progress: plain values that are alike on all ranks, such as the epoch and the curve.
        mesh: of (data, channel).

    Raises:
        RankError: another rank died, or did not answer in time; an older checkpoint is still there.
    """
    with name_failed_collective("saving of the checkpoint"):
        partial = folder.with_name(f"{folder.name}.partial")
        if dist.get_rank() == 0:
            shutil.rmtree(partial, ignore_errors=True)
        dist.barrier()
        state = _tensors(network, mesh) | _moments(network, optimizer, mesh)
        dcp.save(state, checkpoint_id=partial)
        dist.barrier()
        if dist.get_rank() == 0:
            groups = [
                {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
            ]
            torch.save({"progress": progress, "groups": groups}, partial / PROGRESS)
            write_sums(partial, {file.name: sha256(file) for file in partial.iterdir()})
            outdated = folder.with_name(f"{folder.name}.outdated")
            if folder.exists():
                folder.rename(outdated)
            partial.rename(folder)
            shutil.rmtree(outdated, ignore_errors=True)
        dist.barrier()


def load_sharded(folder: Path, network: nn.Module, optimizer: Optimizer, mesh: DeviceMesh) -> dict[str, Any]:
    """Load what `save_sharded` wrote, at this or another number of ranks, into network and optimizer.

    Returns:
        `progress`.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: the checkpoint is of another network, such as one with other n, or its metadata holds more than
            metadata; nothing is changed.
    """
    if not (folder / ".metadata").exists():
        raise FileNotFoundError(f"{folder} is no sharded checkpoint")
    reader = _Reader(folder)
    saved = reader.read_metadata().state_dict_metadata
    state = _tensors(network, mesh)
    _check(folder, {name: tuple(value.shape) for name, value in state.items()}, saved)
    for name, parameter in network.named_parameters():
        for key in _moment_names(name, saved):
            optimizer.state[parameter][key] = parameter.detach().clone().zero_()
    state |= _moments(network, optimizer, mesh)
    with name_failed_collective("loading of the checkpoint"):
        dcp.load(state, storage_reader=reader)
    shared = _read_shared(folder)
    # The rate, above all: a schedule that multiplies goes on from it.
    for group, values in zip(optimizer.param_groups, shared["groups"], strict=True):
        group.update(values | {"params": group["params"]})
    return shared["progress"]


def check_sharded(folder: Path) -> None:
    """Compare all files of a sharded checkpoint with the list written with it; one process does it for all.

    Raises:
        DamagedError: a file is not what was written, is missing, or does not belong to it; the message names it.
    """
    if problems := sums_problems(folder, (file for file in folder.iterdir() if file.name != SUMS)):
        raise DamagedError("; ".join(problems))


def read_progress(folder: Path) -> dict[str, Any]:
    """The `progress` of a sharded checkpoint.

    Raises:
        FileNotFoundError: there is no checkpoint.
    """
    return _read_shared(folder)["progress"]


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


def _moments(network: nn.Module, optimizer: Optimizer, mesh: DeviceMesh) -> dict[str, Any]:
    """The optimizer's tensors that have the shape of their parameter, divided as it is."""
    by_key: dict[str, dict[str, Tensor]] = {}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                by_key.setdefault(key, {})[name] = value
    return {
        f"optimizer/{key}/{name}": share
        for key, values in by_key.items()
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
