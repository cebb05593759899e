"""The Lightning data modules: one for sets in memory, and `make_data_module`, which chooses."""

import functools
from pathlib import Path

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from gc2l.cells import DataConfig
from gc2l.data.arrays import ImageSet, centre_cropped, resized
from gc2l.data.augment import crop_and_flip, draw_boxes, draw_crops, normalise, resized_crop_and_flip
from gc2l.data.cifar import load_cifar, prepare_cifar
from gc2l.data.digits import load_digits
from gc2l.data.imagenet_module import ImagenetDataModule
from gc2l.data.imagenette import find_imagenette, load_imagenette
from gc2l.data.info import dataset_info
from gc2l.data.loader import EvaluationLoader, TrainLoader


def make_data_module(
    config: DataConfig, *, batch_size: int, seed: int, channels_last: bool = False
) -> "InMemoryDataModule | ImagenetDataModule":
    """The data module of a run.

    Args:
        config: which images, and where they lie.
        batch_size: images in a training or test batch.
        seed: of the order of the training images and of their augmentation.
        channels_last: memory format of the image batches.

    Raises:
        ValueError: a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    module = ImagenetDataModule if config.name == "imagenet" else InMemoryDataModule
    return module(config, batch_size=batch_size, seed=seed, channels_last=channels_last)


class InMemoryDataModule(LightningDataModule):
    """Digits, CIFAR or Imagenette: held as uint8, augmented in whole batches on the training device.

    CIFAR and the digits are padded by an eighth of their side (4 pixels of CIFAR's 32, 1 of the digits' 8), cropped at
    random and, except for the digits, mirrored at random. Imagenette gets torchvision's random resized crop, and for
    testing is resized to 8/7 of the side and cropped at the centre (256 to 224, at every size).

    Args: see `make_data_module`.
    """

    def __init__(self, config: DataConfig, *, batch_size: int, seed: int, channels_last: bool) -> None:
        super().__init__()
        info = dataset_info(config.name)
        self.config = config
        self.batch_size = batch_size
        self.seed = seed
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.num_classes = info.num_classes
        self.image_size = config.image_size or info.image_size
        self.padding = self.image_size // 8
        self._mean = torch.tensor(info.mean)
        self._std = torch.tensor(info.std)
        self._images: ImageSet | None = None

    def prepare_data(self) -> None:
        """Download what is missing, where that is possible.

        Raises:
            FileNotFoundError: images are missing; the message says how to get them.
        """
        if self.config.name in ("cifar10", "cifar100"):
            prepare_cifar(self.config.name, self.config.root)
        elif self.config.name == "imagenette":
            find_imagenette(self.config.root)

    def setup(self, stage: str | None = None) -> None:
        """Read the images, once per process.

        Raises:
            ValueError: a truncated or altered file.
        """
        self._images = load_images(self.config.name, self.config.root.resolve(), self.image_size)

    @property
    def images(self) -> ImageSet:
        """The images in memory.

        Raises:
            RuntimeError: before `setup`.
        """
        if self._images is None:
            raise RuntimeError(f"the images of {self.config.name!r} are not read yet: call setup() first")
        return self._images

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all pixels and labels, independent of their source and order."""
        return self.images.fingerprint

    @property
    def train_rows(self) -> int:
        """Number of training images."""
        return len(self.images.train)

    @property
    def test_rows(self) -> int:
        """Number of test images."""
        return len(self.images.test)

    def train_dataloader(self) -> TrainLoader:
        """Batches whose order and augmentation depend on the seed and the epoch alone."""
        return TrainLoader(self.images.train, batch_size=self.batch_size, seed=self.seed, draw=self._draw)

    def val_dataloader(self) -> EvaluationLoader:
        """The test set, as in the paper; no epoch is selected by it."""
        return EvaluationLoader(self.images.test, batch_size=self.batch_size)

    def test_dataloader(self) -> EvaluationLoader:
        """The test set."""
        return EvaluationLoader(self.images.test, batch_size=self.batch_size)

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Augment (a batch of the training loader has draws) and normalise, on the device.

        Returns:
            images float32 (N, 3, H, W), labels int64 (N,).
        """
        images, labels, *draws = batch
        if draws and self.config.name == "imagenette":
            images = resized_crop_and_flip(images, draws[0], self.image_size)
        elif draws:
            images = crop_and_flip(images, draws[0], self.padding)
        self._mean, self._std = self._mean.to(images.device), self._std.to(images.device)
        return normalise(images, self._mean, self._std).contiguous(memory_format=self.memory_format), labels

    def _draw(self, rows: int, generator: torch.Generator) -> Tensor:
        if self.config.name == "imagenette":
            height, width = self.images.train.images.shape[2:]
            return draw_boxes(rows, height, width, generator)
        return draw_crops(rows, self.padding, flip=self.config.name != "digits", generator=generator)


@functools.cache
def load_images(name: str, root: Path, image_size: int) -> ImageSet:
    """Read a set and resize it to `image_size`, except Imagenette's training images, which are cropped later."""
    if name == "imagenette":
        images = load_imagenette(root)
        test = centre_cropped(resized(images.test, round(image_size * 8 / 7)), image_size)
        return ImageSet(images.train, test, images.fingerprint)
    images = load_digits() if name == "digits" else load_cifar(name, root)
    return ImageSet(resized(images.train, image_size), resized(images.test, image_size), images.fingerprint)
