"""Released weights of small networks: copied from a training run, loaded, and tested again."""

from pathlib import Path

import torch
from safetensors.torch import load, load_file, save
from torch import nn

from gc2l.cells import Cell
from gc2l.data import dataset_info, make_data_module
from gc2l.files import read_checked
from gc2l.models import build_model, compact_state, load_compact_state
from gc2l.records import Record, WeightsFolder


def release(cell: Cell, record: Record | None, trained: Path, weights: WeightsFolder) -> Path:
    """Release the final weights of `cell` and return their path.

    Args:
        cell: the run.
        record: its record; None when there is none.
        trained: the file with its final weights.
        weights: where to.

    Raises:
        ValueError: a run that did not finish, an error count that depends on the device, too large a file, or weights
            that are not what the training wrote.
        FileNotFoundError: no weights to release.
    """
    if record is None:
        raise ValueError("it has no record")
    if (reason := why_not_exact(record)) is not None:
        raise ValueError(reason)
    if not trained.exists():
        raise FileNotFoundError(f"{trained} is missing: its training left no weights here")
    network = _network(cell)
    network.load_state_dict(load(read_checked(trained)))
    state = {name: value.contiguous() for name, value in compact_state(network).items()}
    return weights.save(cell, save(state))


def load_released(cell: Cell, path: Path) -> nn.Module:
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
        FileNotFoundError: the images are not under the cell's root; nothing is downloaded.
    """
    data = make_data_module(cell.data, batch_size=cell.training.batch_size, seed=cell.seed, channels_last=True)
    data.setup("test")
    errors = rows = 0
    with torch.inference_mode():
        for batch in data.test_dataloader():
            images, labels = data.on_after_batch_transfer(batch, 0)
            errors += int((network(images).argmax(dim=1) != labels).sum())
            rows += len(labels)
    return errors, rows


def _network(cell: Cell) -> nn.Module:
    return build_model(cell.model, dataset_info(cell.data.name).num_classes)
