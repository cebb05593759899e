"""The smallest real run: a WideResNet-10-1 on digits."""

from dataclasses import replace
from pathlib import Path

import pytest

from gc2l.cells import Cell, DataConfig, ModelConfig, TrainingConfig
from gc2l.training import Execution, ImageClassifier, train

CELL = Cell(
    model=ModelConfig(network="wide_resnet_cifar", depth=10, width=1),
    data=DataConfig(name="digits"),
    training=TrainingConfig(epochs=3, batch_size=64, learning_rate=0.1, schedule="one_cycle"),
)


def cell(*, epochs: int = 3, variant: str = "gc2l", groups: int = 4, **training: object) -> Cell:
    return replace(
        CELL,
        model=replace(CELL.model, variant=variant, groups=groups),
        training=replace(CELL.training, epochs=epochs, **training),
    )


def execution(scratch: Path, **changes: object) -> Execution:
    return replace(Execution(device="cpu", wandb="disabled", progress=False, threads=1, scratch=scratch), **changes)


def stop_in_epoch(epoch: int, run: Cell, how: Execution) -> None:
    """Train `run` until its epoch of that number, from 0, starts, as Ctrl-C would."""
    start = ImageClassifier.on_train_epoch_start

    def stop(self: ImageClassifier) -> None:
        if self.current_epoch == epoch:
            raise KeyboardInterrupt
        start(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageClassifier, "on_train_epoch_start", stop)
        with pytest.raises(KeyboardInterrupt):
            train(run, how)
