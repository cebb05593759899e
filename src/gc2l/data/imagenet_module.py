"""The Lightning data module of ImageNet."""

from collections.abc import Iterable, Iterator

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torchvision.transforms import v2

from gc2l.cells import DataConfig
from gc2l.data.augment import normalise
from gc2l.data.imagenet import (
    FolderImages,
    ParquetImages,
    TransformedImages,
    files_fingerprint,
    find_imagenet,
)
from gc2l.data.info import dataset_info
from gc2l.data.loader import drops_last, epoch_generator
from gc2l.records.environment import usable_cores

WORKERS = min(16, usable_cores())


class ImagenetDataModule(LightningDataModule):
    """Random resized crop and flip for training, resize (256 for 224) and centre crop for testing, in worker processes.

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
        self._mean = torch.tensor(info.mean)
        self._std = torch.tensor(info.std)
        self._splits: tuple[FolderImages, FolderImages] | tuple[ParquetImages, ParquetImages] | None = None

    def prepare_data(self) -> None:
        """Check that the images are there.

        Raises:
            FileNotFoundError, ValueError: see `find_imagenet`.
        """
        find_imagenet(self.config.root)

    def setup(self, stage: str | None = None) -> None:
        """List the images, once."""
        if self._splits is None:
            self._splits = find_imagenet(self.config.root)

    @property
    def splits(self) -> tuple[FolderImages, FolderImages] | tuple[ParquetImages, ParquetImages]:
        """The training and the validation images.

        Raises:
            RuntimeError: before `setup`.
        """
        if self._splits is None:
            raise RuntimeError("the images of 'imagenet' are not listed yet: call setup() first")
        return self._splits

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the names, classes and sizes of all files; hashing their content would take hours."""
        return files_fingerprint([pair for split in self.splits for pair in split.sizes()])

    @property
    def train_rows(self) -> int:
        """Number of training images."""
        return len(self.splits[0])

    @property
    def test_rows(self) -> int:
        """Number of validation images."""
        return len(self.splits[1])

    def train_dataloader(self) -> "LateLoader":
        """Batches whose order and augmentation depend on the seed and the epoch alone."""
        transform = v2.Compose([v2.RandomResizedCrop(self.image_size), v2.RandomHorizontalFlip(), v2.PILToTensor()])
        images = TransformedImages(self.splits[0], transform)
        sampler = EpochSampler(self.splits[0], seed=self.seed)
        return LateLoader(self._loader(images, sampler, drops_last(len(images), self.batch_size)))

    def val_dataloader(self) -> DataLoader:
        """The validation images, on which the paper reports its errors."""
        resize = v2.Resize(round(self.image_size * 8 / 7))
        transform = v2.Compose([resize, v2.CenterCrop(self.image_size), v2.PILToTensor()])
        return self._loader(TransformedImages(self.splits[1], transform), None, False)

    def test_dataloader(self) -> DataLoader:
        """The validation images."""
        return self.val_dataloader()

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Normalise on the device: images float32 (N, 3, H, W), labels int64 (N,)."""
        images, labels = batch
        self._mean, self._std = self._mean.to(images.device), self._std.to(images.device)
        return normalise(images, self._mean, self._std).contiguous(memory_format=self.memory_format), labels

    def _loader(self, images: TransformedImages, sampler: Sampler | None, drop_last: bool) -> DataLoader:
        return DataLoader(
            images,
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=WORKERS,
            persistent_workers=WORKERS > 0,
            pin_memory=torch.cuda.is_available(),
            # Neither Arrow nor a process with threads survives a fork reliably.
            multiprocessing_context="spawn" if WORKERS > 0 else None,
        )


class EpochSampler(Sampler[tuple[int, int]]):
    """Pairs of row and seed, of all rows in an order that depends on (seed, epoch) alone."""

    def __init__(self, images: FolderImages | ParquetImages, *, seed: int) -> None:
        self.images = images
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = epoch_generator(self.seed, self.epoch)
        order = self.images.order(generator)
        seeds = torch.randint(2**63 - 1, (len(order),), generator=generator)
        yield from zip(order.tolist(), seeds.tolist(), strict=True)


class LateLoader:
    """A DataLoader that starts its workers at the first batch.

    Lightning makes the first iterator before it sets the sampler's epoch, and a DataLoader requests rows at once,
    so a resumed run would see the rows of epoch 0.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader

    @property
    def sampler(self) -> Sampler | Iterable:
        """The object whose `set_epoch` Lightning calls."""
        return self.loader.sampler

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[Tensor]]:
        yield from self.loader
