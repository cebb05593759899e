"""A trained network converted to group convolutions: its error before and after an epoch of fine-tuning."""

import copy
import sys
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load
from torch import nn

from gc2l.cells import Cell
from gc2l.data import dataset_info
from gc2l.evidence.released import count_test_errors
from gc2l.files import read_checked
from gc2l.models import build_model, convert
from gc2l.models.conversion import Weights
from gc2l.records import RunStore
from gc2l.records.conversion import Conversion
from gc2l.training import Execution, exclusive_checkpoints, fine_tune, remove_checkpoints, renew_statistics, train
from gc2l.training.run import weights_path

LEARNING_RATE = 0.02
"""Peak rate of the epoch of fine-tuning, a fifth of the digits' own, the same for every conversion."""


def trained_network(cell: Cell, store: RunStore, execution: Execution) -> nn.Module:
    """The network of `cell` with the weights that its training left in the scratch folder, or trained now.

    Raises:
        ValueError: the file of weights is not what was written.
    """
    path = weights_path(cell, execution)

    def waiting(who: str) -> None:
        print(f"{cell.slug}: waiting for {who}", file=sys.stderr)

    with store.exclusive(cell, waiting=waiting), exclusive_checkpoints(cell, execution, waiting=waiting):
        if not path.exists():
            train(cell, execution)
            remove_checkpoints(cell, execution)
    network = build_model(cell.model, dataset_info(cell.data.name).num_classes)
    network.load_state_dict(load(read_checked(path)))
    return network


def convert_and_tune(
    network: nn.Module, cell: Cell, label: str, variant: str, groups: int, weights: Weights, options: dict[str, Any]
) -> Conversion:
    """Convert a copy of the trained `network` of `cell`, and train it for one epoch with the cell's seed.

    Returns:
        The wrong answers on the test images; the convolution is named `label`.
    """
    torch.manual_seed(cell.seed)
    converted = convert(copy.deepcopy(network), variant, groups, weights=weights, **options)
    before, at_once = _errors(network, cell), _errors(converted, cell)
    renew_statistics(converted, cell)
    renewed = _errors(converted, cell)
    epoch = replace(cell.training, epochs=1, learning_rate=LEARNING_RATE, schedule="one_cycle")
    fine_tune(converted, replace(cell, training=epoch))
    return Conversion(
        convolution=label,
        weights=weights,
        seed=cell.seed,
        trained=before,
        converted=at_once,
        renewed=renewed,
        tuned=_errors(converted, cell),
    )


def _errors(network: nn.Module, cell: Cell) -> int:
    errors, _ = count_test_errors(network.eval(), cell)
    return errors
