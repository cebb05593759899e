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

from gc2l.data.parquet import DECODE_ERRORS, decode, open_parquet, read_group, split_files
from gc2l.models.torchvision_import import torchvision

_SHUFFLED_GROUPS = 16  # row groups that are shuffled together; a worker keeps as many in memory
_cached_group = functools.lru_cache(maxsize=_SHUFFLED_GROUPS)(read_group)


class FolderImages:
    """Images `<class>/*` of a folder, classes numbered in the order of their names."""

    def __init__(self, folder: Path) -> None:
        self._samples = torchvision.datasets.ImageFolder(folder).samples

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, row: int) -> tuple[Image.Image, int]:
        """An image and its label."""
        path, label = self._samples[row]
        try:
            with Image.open(path) as image:
                return image.convert("RGB"), label
        except DECODE_ERRORS as error:
            raise ValueError(f"{path} cannot be decoded (truncated or altered?): {error}") from error

    def order(self, generator: torch.Generator) -> Tensor:
        """All rows in a random order."""
        return torch.randperm(len(self), generator=generator)

    def sizes(self, root: Path) -> list[tuple[str, int]]:
        """Path below `root` and size in bytes of each file."""
        return [(Path(path).relative_to(root).as_posix(), Path(path).stat().st_size) for path, _ in self._samples]


class ParquetImages:
    """Images of many Parquet files, decoded one by one."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
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
        """An image and its label."""
        index = bisect.bisect_right(self._starts, row) - 1
        file, group = self._groups[index]
        images, labels = _cached_group(file, group)
        inside = row - self._starts[index]
        try:
            return Image.fromarray(decode(images[inside])), labels[inside]
        except DECODE_ERRORS as error:
            raise ValueError(f"{file}, row group {group}: an image cannot be decoded: {error}") from error

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

    def sizes(self, root: Path) -> list[tuple[str, int]]:
        """Path below `root` and size in bytes of each file."""
        return [(file.relative_to(root).as_posix(), file.stat().st_size) for file in self._files]


def find_imagenet(root: Path) -> tuple[FolderImages, FolderImages] | tuple[ParquetImages, ParquetImages]:
    """The training and the validation images.

    Raises:
        FileNotFoundError: there are none; the message says what was looked for.
    """
    folder = root / "imagenet"
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        return FolderImages(folder / "train"), FolderImages(folder / "val")
    train, test = split_files(folder, "train"), split_files(folder, "validation")
    if train and test:
        return ParquetImages(train), ParquetImages(test)
    raise FileNotFoundError(
        f"imagenet was not found: looked for {folder}/train/<class>/*.JPEG and {folder}/val/<class>/*.JPEG (the "
        f"folders that torchvision reads), and for Parquet files {folder}/train-*.parquet and validation-*.parquet in "
        "the Hugging Face layout (columns image and label). It cannot be downloaded without an account of its makers "
        "(https://image-net.org). Another root is set with data.root or the variable GC2L_DATA."
    )


def files_fingerprint(sizes: list[tuple[str, int]]) -> str:
    """SHA-256 over the sorted pairs of relative path and size in bytes."""
    return hashlib.sha256(json.dumps(sorted(sizes)).encode()).hexdigest()


class TransformedImages(Dataset[tuple[Tensor, int]]):
    """Images after a random or fixed transform, as uint8 (3, size, size).

    A key is a row, or, for a random transform, a pair of row and seed, so that what a worker draws depends on
    neither the worker nor the rows before.
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
