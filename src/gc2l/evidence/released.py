"""Released weights of small networks: copied from a training run, loaded, and tested again."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load, load_file, save
from torch import Tensor, nn

from gc2l.cells import Cell, DataConfig, ModelConfig, TrainingConfig
from gc2l.data import dataset_info, make_data_module
from gc2l.models import build_model, compact_state, load_compact_state
from gc2l.records import Record, WeightsFolder, read_final_weights


def release(cell: Cell, record: Record | None, trained: Path, weights: WeightsFolder) -> Path:
    """Release the final weights of `cell` and return their path.

    The file's metadata names the network and its record.

    Args:
        cell: the run.
        record: its record; None when there is none.
        trained: the file with its final weights.
        weights: where to.

    Raises:
        ValueError: a run that did not finish, an error count that depends on the device, too large a file, or weights
            that are not what the recorded training wrote.
        FileNotFoundError: no weights to release.
    """
    if record is None:
        raise ValueError("it has no record")
    if (reason := why_not_exact(record)) is not None:
        raise ValueError(reason)
    if not trained.exists():
        raise FileNotFoundError(f"{trained} is missing: its training left no weights here")
    network = _network(cell)
    network.load_state_dict(load(read_final_weights(trained, record)))
    state = {name: value.contiguous() for name, value in compact_state(network).items()}
    return weights.save(cell, _with_metadata(save(state), _metadata(record)))


def trained_network(cell: Cell, path: Path) -> nn.Module:
    """The trained network of `cell`, in evaluation mode.

    Raises:
        ValueError: a file that is not its weights.
    """
    network = _network(cell)
    try:
        load_compact_state(network, load_file(path))
    except Exception as error:  # safetensors, missing names and wrong shapes each have their own
        raise ValueError(f"{path} does not hold the weights of {cell.slug}: {error}") from error
    return network.eval()


def recorded_cell(record: Record, data_root: Path) -> Cell:
    """The cell that `record` is of, with its images under `data_root`.

    Raises:
        ValueError: a configuration that today's code does not have.
    """
    content = record.configuration
    try:
        return Cell(
            preset=record.preset,
            model=ModelConfig(**content["model"]),
            data=DataConfig(**content["data"], root=data_root),
            training=TrainingConfig(**content["training"] | {"milestones": tuple(content["training"]["milestones"])}),
            seed=content["seed"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this code does not have the configuration: {error}") from error


def why_not_exact(record: Record) -> str | None:
    """Why the number of test errors may differ on another machine; None where it must not.

    In float32 on a CPU, rounding moves a logit by about 1e-6 of its size, and of 10,000 images hardly one lies so
    close between two classes. bfloat16 (8 bits), and TF32 (11 bits), in which a GPU convolves float32, move dozens of
    images from one side to the other, more or fewer with each device; no tolerance would tell these from an error.
    """
    if record.test is None:
        return f"the run {record.status}"
    if (record.execution.device, record.execution.precision) != ("cpu", "float32"):
        return f"it ran in {record.execution.precision} on {record.execution.device}: its error count depends on that"
    return None


def count_test_errors(network: nn.Module, cell: Cell) -> tuple[int, int]:
    """Wrong answers and images of the test set of `cell`, in float32 on the CPU, batches as in training.

    Raises:
        FileNotFoundError: see `labelled_batches`.
    """
    errors = rows = 0
    with torch.inference_mode():
        for images, labels in labelled_batches(cell):
            errors += int((network(images).argmax(dim=1) != labels).sum())
            rows += len(labels)
    return errors, rows


def labelled_batches(cell: Cell) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (N, 3, H, W), normalised, and labels of the test set of `cell`.

    Raises:
        FileNotFoundError: the images are not under the cell's root; nothing is downloaded.
    """
    data = make_data_module(cell.data, batch_size=cell.training.batch_size, seed=cell.seed, channels_last=True)
    data.setup("test")
    for batch in data.test_dataloader():
        images, labels = data.on_after_batch_transfer(batch, 0)
        yield images, labels


def _network(cell: Cell) -> nn.Module:
    return build_model(cell.model, dataset_info(cell.data.name).num_classes)


def _metadata(record: Record) -> dict[str, str]:
    """What a file of weights says of itself; safetensors has text for values."""
    model = record.configuration["model"]
    return {
        "format": "pt",
        "library": "gc2l",
        **{name: str(model[name]) for name in ("network", "depth", "width", "variant", "groups", "coarse_channels")},
        "data": record.configuration["data"]["name"],
        "preset": record.preset,
        "record": record.identity,
        "commit": record.commit,
    }


def _with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """The safetensors file `content` with `metadata`, in the same order every time, as safetensors itself does not."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps({"__metadata__": metadata, **json.loads(content[8 : 8 + size])}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the numbers begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header + content[8 + size :]
