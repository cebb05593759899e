"""Imagenette (fast.ai): ten classes of ImageNet, from a Parquet mirror or fast.ai's own folders."""

from pathlib import Path

import numpy as np

from gc2l.data.arrays import ImageSet, image_set
from gc2l.data.decode import EncodedImage, decode_all, square_side
from gc2l.data.folders import check_classes, check_no_images_beside, class_images, list_folder, warn_of_missing_images
from gc2l.data.info import dataset_info
from gc2l.data.parquet import read_encoded
from gc2l.data.shards import LAYOUTS, check_rows, find_shards
from gc2l.data.sums import check_sums

_ARCHIVES = ("imagenette2", "imagenette2-320", "imagenette2-160")

Half = tuple[list[EncodedImage], np.ndarray]


def find_imagenette(root: Path) -> Path | tuple[list[Path], list[Path]]:
    """The folder with `train` and `val`, or the Parquet files of both halves.

    Raises:
        FileNotFoundError: there is neither, or a Parquet file is missing.
        ValueError: there are several versions.
    """
    folder = root / "imagenette"
    shards = find_shards(folder, "validation")
    if shards is not None:
        return shards
    places = [folder, *(parent / name for parent in (root, folder) for name in _ARCHIVES)]
    found = [place for place in places if (place / "train").is_dir() and (place / "val").is_dir()]
    if len(found) > 1:
        raise ValueError(f"imagenette is there more than once: {', '.join(map(str, found))}. Move all but one away")
    if not found:
        raise FileNotFoundError(
            f"imagenette was not found: looked for {folder}/**/*.parquet ({LAYOUTS}; the same with validation; columns "
            f"image and label) and for fast.ai's folders {{train,val}}/<wnid>/*.JPEG in {folder} and in "
            f"{', '.join(_ARCHIVES)} below {root} or {folder}. Put one of these there (a .tgz of fast.ai has to be "
            "unpacked), or set another root with data.root or the variable GC2L_DATA."
        )
    return found[0]


def load_imagenette(root: Path) -> ImageSet:
    """Read all images as squares of one size: see `square_side`; the mirror's own size where they are such squares.

    The files are compared with SHA256SUMS in their folder, where there is one, before they are decoded.

    Raises:
        FileNotFoundError: no files.
        ValueError: a file that cannot be read, or is not what the list says, which the message names, or other classes
            to train than to test on.
    """
    found = find_imagenette(root)
    if isinstance(found, Path):
        train, test = _read_folders(found)
        check_sums(found, [image.source for image in train[0] + test[0] if isinstance(image.source, Path)])
    else:
        check_sums(root / "imagenette", found[0] + found[1])
        train, test = _read_shards(*found)
    side = square_side(train[0])
    return image_set((decode_all(train[0], side), train[1]), (decode_all(test[0], side), test[1]))


def _read_shards(train_files: list[Path], test_files: list[Path]) -> tuple[Half, Half]:
    info = dataset_info("imagenette")
    train, test = read_encoded(train_files), read_encoded(test_files)
    check_rows(train_files, len(train[1]), info.train_rows)
    check_rows(test_files, len(test[1]), info.test_rows)
    return train, test


def _read_folders(folder: Path) -> tuple[Half, Half]:
    halves = [folder / "train", folder / "val"]
    (classes, beside), (test_classes, test_beside) = map(list_folder, halves)
    check_no_images_beside(halves[0], beside)
    check_no_images_beside(halves[1], test_beside)
    check_classes(halves[0], classes, halves[1], test_classes, dataset_info("imagenette").num_classes)
    train, test = (_encoded(class_images(half, classes)) for half in halves)
    warn_of_missing_images(folder, "imagenette", len(train[1]), len(test[1]))
    return train, test


def _encoded(samples: list[tuple[str, int]]) -> Half:
    return [EncodedImage(path, Path(path)) for path, _ in samples], np.array([label for _, label in samples])
