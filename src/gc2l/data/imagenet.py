"""ImageNet (ILSVRC 2012), too large for memory: read image by image in worker processes."""

import bisect
import functools
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from gc2l.data.decode import EncodedImage, decode
from gc2l.data.folders import check_classes, check_no_images_beside, class_images, list_folder, warn_of_missing_images
from gc2l.data.imagenet_labels import validation_classes
from gc2l.data.info import dataset_info
from gc2l.data.parquet import open_parquet, read_group
from gc2l.data.shards import LAYOUTS, check_rows, find_shards

_SHUFFLED_GROUPS = 16  # row groups that are shuffled together, and that a worker keeps in memory
_cached_group = functools.lru_cache(maxsize=_SHUFFLED_GROUPS)(read_group)


_KAGGLE = Path("ILSVRC/Data/CLS-LOC")


class FolderImages:
    """Images in files.

    Args:
        samples: path and label of each.
        names: `<split>/<class>/<file>` of each; the fingerprint is taken over these, so it does not depend on whether
            the files lie in folders of their classes.
    """

    def __init__(self, samples: Sequence[tuple[str, int]], names: Sequence[str]) -> None:
        self._samples = samples
        self._names = names

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, row: int) -> tuple[Image.Image, int]:
        """An image and its label.

        Raises:
            ValueError: it cannot be decoded; the message names the file.
        """
        path, label = self._samples[row]
        return decode(EncodedImage(path, Path(path))), label

    def order(self, generator: torch.Generator) -> Tensor:
        """All rows in a random order."""
        return torch.randperm(len(self), generator=generator)

    def sizes(self) -> list[tuple[str, int]]:
        """Name and size in bytes of each file."""
        pairs = zip(self._names, self._samples, strict=True)
        return [(f"imagenet/{name}", Path(path).stat().st_size) for name, (path, _) in pairs]


class ParquetImages:
    """Images of many Parquet files, decoded one by one.

    Args:
        files: in order.
        root: folder of the data sets; the fingerprint is taken over paths below it.
    """

    def __init__(self, files: Sequence[Path], root: Path) -> None:
        self._files = list(files)
        self._root = root
        self._groups: list[tuple[Path, int]] = []
        lengths = []
        for file in files:
            with open_parquet(file)[0] as parquet:
                for group in range(parquet.num_row_groups):
                    self._groups.append((file, group))
                    lengths.append(parquet.metadata.row_group(group).num_rows)
        self._starts = [0, *itertools.accumulate(lengths)]

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, row: int) -> tuple[Image.Image, int]:
        """An image and its label.

        Raises:
            ValueError: the file or the image cannot be read; the message names the file.
        """
        index = bisect.bisect_right(self._starts, row) - 1
        file, group = self._groups[index]
        images, labels = _cached_group(file, group)
        inside = row - self._starts[index]
        return decode(images[inside]), labels[inside]

    def order(self, generator: torch.Generator) -> Tensor:
        """Row groups in a random order, the rows of sixteen at a time shuffled together.

        A row group can only be read as a whole, so an order over all rows would read each one hundreds of times.
        """
        groups = torch.randperm(len(self._groups), generator=generator).tolist()
        parts = []
        for start in range(0, len(groups), _SHUFFLED_GROUPS):
            window = groups[start : start + _SHUFFLED_GROUPS]
            rows = torch.cat([torch.arange(self._starts[group], self._starts[group + 1]) for group in window])
            parts.append(rows[torch.randperm(len(rows), generator=generator)])
        return torch.cat(parts)

    def sizes(self) -> list[tuple[str, int]]:
        """Path and size in bytes of each file."""
        return [(file.relative_to(self._root).as_posix(), file.stat().st_size) for file in self._files]


def find_imagenet(root: Path) -> tuple[FolderImages, FolderImages] | tuple[ParquetImages, ParquetImages]:
    """The training and the validation images.

    Raises:
        FileNotFoundError: there are none, or the classes of the validation images are missing, or a part of the files;
            the message says what was looked for.
        ValueError: the classes of the two halves are not the same, or a file cannot be read.
    """
    folder = root / "imagenet"
    for place in (folder, folder / _KAGGLE):
        if (place / "train").is_dir() and (place / "val").is_dir():
            return _class_folders(folder, place / "train", place / "val")
    shards = find_shards(folder, "validation")
    if shards is not None:
        info = dataset_info("imagenet")
        train, test = (ParquetImages(files, root) for files in shards)
        check_rows(shards[0], len(train), info.train_rows)
        check_rows(shards[1], len(test), info.test_rows)
        return train, test
    raise FileNotFoundError(
        f"imagenet was not found: looked for {folder}/train/<wnid>/*.JPEG with {folder}/val/<wnid>/*.JPEG or "
        f"{folder}/val/ILSVRC2012_val_*.JPEG, for the same two folders in Kaggle's {folder / _KAGGLE}, and for Parquet "
        f"files below {folder} ({LAYOUTS}; the same with validation; columns image and label). Archives are not read: "
        "torchvision.datasets.ImageNet unpacks them. It cannot be downloaded without an account of its makers "
        "(https://image-net.org). Another root is set with data.root or the variable GC2L_DATA."
    )


def _class_folders(folder: Path, train: Path, validation: Path) -> tuple[FolderImages, FolderImages]:
    """The images of two folders; the second may have no class folders."""
    classes, beside = list_folder(train)
    check_no_images_beside(train, beside)
    test_classes, flat = list_folder(validation)
    wnids = validation_classes(folder, validation, flat) if flat and not test_classes else None
    if wnids is None:
        check_no_images_beside(validation, flat)
    most = dataset_info("imagenet").num_classes
    check_classes(train, classes, validation, test_classes if wnids is None else wnids, most)
    train_samples = class_images(train, classes)
    train_images = FolderImages(train_samples, _names_in_folders(train, train_samples))
    if wnids is None:
        samples = class_images(validation, classes)
        names = _names_in_folders(validation, samples)
    else:
        labels = {wnid: label for label, wnid in enumerate(classes)}
        pairs = list(zip(flat, wnids, strict=True))
        samples = [(str(validation / name), labels[wnid]) for name, wnid in pairs]
        names = [f"val/{wnid}/{name}" for name, wnid in pairs]
    warn_of_missing_images(folder, "imagenet", len(train_samples), len(samples))
    return train_images, FolderImages(samples, names)


def _names_in_folders(folder: Path, samples: Sequence[tuple[str, int]]) -> list[str]:
    return [f"{folder.name}/{Path(path).relative_to(folder).as_posix()}" for path, _ in samples]


def files_fingerprint(sizes: list[tuple[str, int]]) -> str:
    """SHA-256 over the sorted pairs of relative path and size in bytes."""
    return hashlib.sha256(json.dumps(sorted(sizes)).encode()).hexdigest()


class TransformedImages(Dataset[tuple[Tensor, int]]):
    """Images after a random or fixed transform, as uint8 (3, size, size).

    A key is a row, or, for a random transform, a pair of row and seed, so that the draw depends on neither the worker
    nor the rows before.
    """

    def __init__(self, source: FolderImages | ParquetImages, transform: Any) -> None:
        self.source = source
        self.transform = transform

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, int]:
        row, seed = key if isinstance(key, tuple) else (key, 0)
        image, label = self.source.read(row)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self.transform(image), label
