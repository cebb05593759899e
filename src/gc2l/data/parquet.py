"""Images in Parquet, in the layouts of the Hugging Face hub: a struct of encoded bytes, and a label."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gc2l.data.decode import EncodedImage

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("fine_label", "label")


def open_parquet(file: Path) -> tuple[pq.ParquetFile, str, str]:
    """An open file and the names of its image and label columns; page checksums are checked where the file has them.

    Raises:
        ValueError: not a Parquet file, a truncated one, or one without such columns.
    """
    try:
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file} cannot be read as Parquet (truncated or altered?): {error}") from error
    schema = parquet.schema_arrow
    image = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    if image is None or label is None:
        raise ValueError(
            f"{file} has the columns {schema.names}; one of {IMAGE_COLUMNS} and one of {LABEL_COLUMNS} are needed"
        )
    kind = schema.field(image).type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise ValueError(f"{file}: column {image!r} is of type {kind}; a struct with the encoded 'bytes' is needed")
    return parquet, image, label


def read_group(file: Path, group: int | None = None) -> tuple[list[EncodedImage], list[int]]:
    """The encoded images and the labels of one row group, or of the entire file.

    Raises:
        ValueError: the file cannot be read, or a row has no label (null, or -1 as in the hub's unlabelled test sets).
    """
    parquet, image, label = open_parquet(file)
    where = f"{file}" if group is None else f"{file}, row group {group}"
    with parquet:
        try:
            columns = [image, label]
            table = parquet.read(columns) if group is None else parquet.read_row_group(group, columns)
            encoded = [
                EncodedImage(f"{where}, row {row}: the image", content["bytes"])
                for row, content in enumerate(table[image].to_pylist())
            ]
            labels = table[label].to_pylist()
        except (pa.ArrowException, OSError, KeyError, TypeError) as error:
            raise ValueError(f"{file} cannot be read (truncated or altered?): {error}") from error
    for row, value in enumerate(labels):
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"{where}, row {row}: {label} is {value}; a class number from 0 on is needed")
    return encoded, labels


def read_encoded(files: Sequence[Path]) -> tuple[list[EncodedImage], np.ndarray]:
    """All images, not yet decoded, and their labels, (rows,), in file order.

    Raises:
        ValueError: see `read_group`.
    """
    groups = [read_group(file) for file in files]
    labels = np.array([label for _, group_labels in groups for label in group_labels])
    return [image for images, _ in groups for image in images], labels


def check_against_meta(folder: Path, images: np.ndarray, labels: np.ndarray, files: Sequence[Path], split: str) -> None:
    """Compare with the digests of a `meta.json` beside the files or above, if there is one.

    Args:
        folder: of the data set; the highest where `meta.json` may lie.
        images: uint8, (rows, H, W, 3), in file order.
        labels: (rows,).
        files: the source of the images.
        split: the key of `meta.json`.

    Raises:
        ValueError: pixels or labels do not have these digests, or `meta.json` is not JSON.
    """
    places = [place for place in files[0].parents if place.is_relative_to(folder)]
    path = next((place / "meta.json" for place in places if (place / "meta.json").is_file()), None)
    if path is None:
        return
    try:
        expected = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON (truncated or altered?): {error}") from error
    expected = expected.get(split) if isinstance(expected, dict) else None
    if not isinstance(expected, dict):
        return
    found = {
        "rows": len(images),
        "sha256_pixels": hashlib.sha256(np.ascontiguousarray(images).data).hexdigest(),
        "sha256_labels": hashlib.sha256(labels.astype(np.uint8).data).hexdigest(),
    }
    for key, value in found.items():
        if key in expected and expected[key] != value:
            names = ", ".join(map(str, files))
            raise ValueError(f"{names}: altered, {key} is {value}, but {path} says {expected[key]}")
