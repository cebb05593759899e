"""Images in Parquet, in the layout of the Hugging Face hub's mirrors: a struct of encoded bytes, and a label."""

import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("fine_label", "label")

# What Pillow raises for damaged images, and TypeError for a null in their place.
DECODE_ERRORS = (OSError, SyntaxError, TypeError, ValueError)

_FORMATS = ("PNG", "WEBP", "JPEG")  # Pillow would try dozens
_CHUNK = 256  # images that a thread takes at a time


def split_files(folder: Path, split: str) -> list[Path]:
    """The shards `split-*.parquet` below `folder`, in order; empty when there are none.

    Raises:
        FileNotFoundError: the shards' own names (`-00000-of-00002`) say that one is missing.
    """
    files = sorted(folder.rglob(f"{split}-*.parquet"))
    for file in files:
        numbered = re.fullmatch(rf"({split}-)(\d+)-of-(\d+)\.parquet", file.name)
        if numbered is None:
            continue
        stem, number, count = numbered.groups()
        for index in range(int(count)):
            shard = file.with_name(f"{stem}{index:0{len(number)}d}-of-{count}.parquet")
            if shard not in files:
                raise FileNotFoundError(f"{shard} is missing: the data set has {count} files, and {file.name} is there")
    return files


def open_parquet(file: Path) -> tuple[pq.ParquetFile, str, str]:
    """An open file and the names of its image and label columns.

    Raises:
        ValueError: no Parquet file, or a truncated one, or one without such columns.
    """
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file} cannot be read as Parquet (truncated or altered?): {error}") from error
    columns = parquet.schema_arrow.names
    image = next((name for name in IMAGE_COLUMNS if name in columns), None)
    label = next((name for name in LABEL_COLUMNS if name in columns), None)
    if image is None or label is None:
        raise ValueError(
            f"{file} has the columns {columns}; one of {IMAGE_COLUMNS} and one of {LABEL_COLUMNS} are needed"
        )
    return parquet, image, label


def read_group(file: Path, group: int | None = None) -> tuple[list[bytes], list[int]]:
    """The encoded images and the labels of one row group, or of the entire file.

    Raises:
        ValueError: the file cannot be read.
    """
    parquet, image, label = open_parquet(file)
    with parquet:
        try:
            columns = [image, label]
            table = parquet.read(columns) if group is None else parquet.read_row_group(group, columns)
            encoded = [row["bytes"] for row in table[image].to_pylist()]
            return encoded, table[label].to_pylist()
        except (pa.ArrowException, OSError, KeyError, TypeError) as error:
            raise ValueError(f"{file} cannot be read (truncated or altered?): {error}") from error


def decode(encoded: bytes) -> np.ndarray:
    """One image as uint8, (H, W, 3)."""
    with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
        return np.asarray(image.convert("RGB"))


def _decode_all(encoded: list[bytes]) -> list[np.ndarray]:
    return [decode(image) for image in encoded]


def read_images(files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """All images of one size, decoded, uint8 (rows, H, W, 3), and their labels, (rows,), in file order.

    Raises:
        ValueError: a file or an image that cannot be read, or an image of another size; the message names the file.
    """
    images: list[np.ndarray] = []
    labels: list[int] = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for file in files:
            encoded, file_labels = read_group(file)
            try:
                chunks = [encoded[start : start + _CHUNK] for start in range(0, len(encoded), _CHUNK)]
                for decoded in threads.map(_decode_all, chunks):
                    images += decoded
            except DECODE_ERRORS as error:
                raise ValueError(f"{file} holds an image that cannot be decoded: {error}") from error
            labels += file_labels
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise ValueError(f"{_names(files)}: images of one size are needed, found the shapes {sorted(shapes)}")
    return np.stack(images), np.array(labels)


def check_against_meta(images: np.ndarray, labels: np.ndarray, files: Sequence[Path], split: str) -> None:
    """Compare with the digests of `meta.json` beside the files, where there is one that has them.

    Raises:
        ValueError: pixels or labels are not the ones that the digests were taken of.
    """
    path = files[0].with_name("meta.json")
    if not path.is_file():
        return
    expected = json.loads(path.read_text(encoding="utf-8")).get(split)
    if not isinstance(expected, dict):
        return
    found = {
        "rows": len(images),
        "sha256_pixels": hashlib.sha256(images.tobytes()).hexdigest(),
        "sha256_labels": hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest(),
    }
    for key, value in found.items():
        if key in expected and expected[key] != value:
            raise ValueError(f"{_names(files)}: altered, {key} is {value}, but {path} says {expected[key]}")


def _names(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files))
