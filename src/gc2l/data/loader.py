"""Order of the images, and loaders over sets in memory: an epoch depends on (seed, epoch) alone."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from gc2l.data.arrays import ImageSplit

Draw = Callable[[int, torch.Generator], Tensor]


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Random numbers on the CPU for one epoch of one run."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def drops_last(rows: int, batch_size: int) -> bool:
    """Whether to drop the last batch: only if it has one image, which has no batch statistics."""
    return batch_size > 1 and rows % batch_size == 1


class TrainLoader:
    """Batches (images uint8, labels, draws) in a new order every epoch.

    PyTorch Lightning calls `sampler.set_epoch` before each epoch, on resuming too; so the loader is its own sampler.

    Args:
        split: the training images.
        batch_size: images in a batch; the last is smaller, and left out if it would have one image.
        seed: of the run.
        draw: the augmentation's random numbers, one row for each image of the epoch.
    """

    def __init__(self, split: ImageSplit, *, batch_size: int, seed: int, draw: Draw) -> None:
        self.split = split
        self.batch_size = batch_size
        self.seed = seed
        self.draw = draw
        self.epoch = 0

    @property
    def sampler(self) -> "TrainLoader":
        """The object whose `set_epoch` Lightning calls."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size) - drops_last(len(self.split), self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        generator = epoch_generator(self.seed, self.epoch)
        order = torch.randperm(len(self.split), generator=generator)
        draws = self.draw(len(self.split), generator)
        parts = zip(order.split(self.batch_size), draws.split(self.batch_size), strict=True)
        for _, (rows, part) in zip(range(len(self)), parts, strict=False):
            yield self.split.images.index_select(0, rows), self.split.labels[rows], part


class EvaluationLoader:
    """All images in their canonical order, in batches (images uint8, labels)."""

    def __init__(self, split: ImageSplit, *, batch_size: int) -> None:
        self.split = split
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.split.images.split(self.batch_size), self.split.labels.split(self.batch_size), strict=True)
