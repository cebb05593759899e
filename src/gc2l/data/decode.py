"""Encoded images (JPEG, PNG, ...) to pixels, in threads; an image that cannot be decoded is named."""

import io
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torchvision.transforms import v2

from gc2l.records.environment import usable_cores

# The formats of torchvision.datasets.ImageFolder. Pillow would try dozens, and one of them starts Ghostscript.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF")

# What Pillow raises for damaged images, and TypeError for a null in their place.
_DECODE_ERRORS = (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError)

_CHUNK = 256  # images that a thread takes at a time
_LARGEST_SIDE = 320


class EncodedImage(NamedTuple):
    """An encoded image.

    Attributes:
        name: for error messages.
        source: its file, or the content of one.
    """

    name: str
    source: Path | bytes


def decode(encoded: EncodedImage) -> Image.Image:
    """The image in RGB; grey and CMYK ones are converted.

    Raises:
        ValueError: it cannot be decoded; the message names it.
    """
    try:
        with _opened(encoded) as image:
            return image.convert("RGB")
    except _DECODE_ERRORS as error:
        raise ValueError(f"{encoded.name} cannot be decoded (truncated or altered?): {error}") from error


def decode_all(images: Sequence[EncodedImage], side: int | None = None) -> np.ndarray:
    """All images, uint8 (rows, H, W, 3).

    Args:
        images: all of one size, unless `side` is given.
        side: resize the shorter side of each image to so many pixels (bilinear, antialiased) and keep the centre
            square.

    Raises:
        ValueError: an image that cannot be decoded, or of another size; the message names it.
    """
    square = None if side is None else v2.Compose([v2.Resize(side), v2.CenterCrop(side)])

    def decode_chunk(chunk: Sequence[EncodedImage]) -> list[np.ndarray]:
        pictures = map(decode, chunk)
        return [np.asarray(picture if square is None else square(picture)) for picture in pictures]

    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    with ThreadPoolExecutor(usable_cores()) as threads:
        arrays = [array for chunk in threads.map(decode_chunk, chunks) for array in chunk]
    for image, array in zip(images, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"images of one size are needed: {images[0].name} has the shape {arrays[0].shape}, but {image.name} "
                f"has {array.shape}"
            )
    return np.stack(arrays)


def square_side(images: Sequence[EncodedImage]) -> int:
    """The side for `decode_all` at which most images keep their scale.

    Returns:
        The side of the images where all are squares of one size, else the most frequent shorter side, 320 at most.

    Raises:
        ValueError: an image whose size cannot be read; the message names it.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    for image in images:
        try:
            with _opened(image) as opened:
                sizes[opened.size] += 1
        except _DECODE_ERRORS as error:
            raise ValueError(f"{image.name} cannot be decoded (truncated or altered?): {error}") from error
    if len(sizes) == 1 and len(set(*sizes)) == 1:
        return next(iter(sizes))[0]
    shorter: Counter[int] = Counter()
    for size, count in sizes.items():
        shorter[min(size)] += count
    return min(shorter.most_common(1)[0][0], _LARGEST_SIDE)


def _opened(encoded: EncodedImage) -> Image.Image:
    source = encoded.source if isinstance(encoded.source, Path) else io.BytesIO(encoded.source)
    return Image.open(source, formats=_FORMATS)
