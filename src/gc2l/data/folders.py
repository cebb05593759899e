"""Images in one folder for each class, numbered in the order of their names, as in torchvision's ImageFolder."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from gc2l.data.info import dataset_info
from gc2l.models.torchvision_import import torchvision

_ImageFolders = torchvision.datasets.folder


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the class folders, and of the images beside them, each sorted and without hidden ones."""
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    classes = sorted(entry.name for entry in shown if entry.is_dir())
    images = sorted(entry.name for entry in shown if _has_image_name(entry.name) and entry.is_file())
    return classes, images


def class_images(folder: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Path and label of each image `<class>/**` below a folder.

    Other files and hidden ones, such as those of macOS and Jupyter, are left out.

    Raises:
        FileNotFoundError: a class without images; the message names it.
    """
    start = len(str(folder))

    def is_image(path: str) -> bool:
        return f"{os.sep}." not in path[start:] and _has_image_name(path)

    labels = {name: label for label, name in enumerate(classes)}
    try:
        return _ImageFolders.make_dataset(str(folder), labels, is_valid_file=is_image)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder}: {error}") from error


def check_classes(
    train: Path, train_classes: Sequence[str], test: Path, test_classes: Sequence[str], most: int
) -> None:
    """Check that a label means the same class in both halves of a set.

    Raises:
        ValueError: a class that only one half has, or more than `most` classes, or none.
    """
    if not 0 < len(train_classes) <= most:
        raise ValueError(f"{train} has {len(train_classes)} class folders; 1 to {most} are needed")
    for one, classes, other, others in (
        (train, train_classes, test, test_classes),
        (test, test_classes, train, train_classes),
    ):
        alone = sorted(set(classes) - set(others))
        if alone:
            names = ", ".join(alone[:5]) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
            raise ValueError(f"{one} has the class {names}, which {other} has not; labels would differ between the two")


def check_no_images_beside(folder: Path, images: Sequence[str]) -> None:
    """Check that no image lies beside the class folders.

    Raises:
        ValueError: some do not.
    """
    if images:
        raise ValueError(f"{folder} has images beside its class folders, such as {images[0]} ({len(images)} in all)")


def warn_of_missing_images(folder: Path, name: str, train_rows: int, test_rows: int) -> None:
    """Warn where a half in `folder` has fewer images than the data set `name`: an archive may be unpacked in part.

    It is no error, as some train on a part of a set on purpose.
    """
    info = dataset_info(name)
    for half, rows, whole in (("training", train_rows, info.train_rows), ("test", test_rows, info.test_rows)):
        if rows < whole:
            warnings.warn(
                f"{folder} has {rows} {half} images, the whole of {name} has {whole}: unless that is meant to be so, "
                "unpack its archive again; runs on a part are not compared with runs on other images",
                stacklevel=2,
            )


def _has_image_name(name: str) -> bool:
    return _ImageFolders.has_file_allowed_extension(name, _ImageFolders.IMG_EXTENSIONS)
