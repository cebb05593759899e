"""A data set in memory; its order and fingerprint do not depend on its source."""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ImageSplit:
    """The training or the test half of a set.

    Attributes:
        images: uint8, (rows, 3, H, W).
        labels: int64, (rows,).
    """

    images: Tensor
    labels: Tensor

    @classmethod
    def from_numpy(cls, images: np.ndarray, labels: np.ndarray) -> Self:
        """From images (rows, H, W, 3) and labels (rows,)."""
        channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return cls(torch.from_numpy(channels_first), torch.from_numpy(labels.astype(np.int64)))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageSet:
    """Both halves of a set, and the SHA-256 of its content."""

    train: ImageSplit
    test: ImageSplit
    fingerprint: str


def row_digests(images: np.ndarray, labels: np.ndarray) -> list[bytes]:
    """The SHA-256 of each row: its pixels, (H, W, 3) as uint8, then its label as one byte."""
    label_bytes = labels.astype(np.uint8)
    return [
        hashlib.sha256(image.tobytes() + label.tobytes()).digest()
        for image, label in zip(images, label_bytes, strict=True)
    ]


def canonical(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
    """Rows sorted by their digests, and the sorted digests.

    The order depends on the content alone, so a seed gives the same training order for every source; it is as good as
    random, so a prefix is a fair sample.
    """
    digests = row_digests(images, labels)
    order = sorted(range(len(digests)), key=digests.__getitem__)
    return images[order], labels[order], [digests[row] for row in order]


def image_set(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> ImageSet:
    """A set in canonical order from (images, labels) of both halves, images as uint8 (rows, H, W, 3)."""
    train_images, train_labels, train_digests = canonical(*train)
    test_images, test_labels, test_digests = canonical(*test)
    return ImageSet(
        train=ImageSplit.from_numpy(train_images, train_labels),
        test=ImageSplit.from_numpy(test_images, test_labels),
        fingerprint=hashlib.sha256(b"".join(train_digests + test_digests)).hexdigest(),
    )


def resized(split: ImageSplit, size: int) -> ImageSplit:
    """The same images with sides of `size` pixels: bilinear, with antialiasing when they shrink."""
    if split.images.shape[-1] == size:
        return split
    parts = [
        F.interpolate(part.float(), size=(size, size), mode="bilinear", antialias=True).round_().clamp_(0, 255).byte()
        for part in split.images.split(1024)  # bounds the memory of the float copies
    ]
    return ImageSplit(torch.cat(parts), split.labels)


def centre_cropped(split: ImageSplit, size: int) -> ImageSplit:
    """The centre of each image, `size` pixels wide and high."""
    start = (split.images.shape[-1] - size) // 2
    centre = split.images[:, :, start : start + size, start : start + size].contiguous()
    return ImageSplit(centre, split.labels)
