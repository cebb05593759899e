"""Imagenette (fast.ai): ten classes of ImageNet, from a Parquet mirror of square images."""

from pathlib import Path

from gc2l.data.arrays import ImageSet, image_set
from gc2l.data.parquet import read_images, split_files


def imagenette_files(root: Path) -> tuple[list[Path], list[Path]]:
    """The files of the training and of the validation set.

    Raises:
        FileNotFoundError: there are none.
    """
    folder = root / "imagenette"
    train, test = split_files(folder, "train"), split_files(folder, "validation")
    if not train or not test:
        raise FileNotFoundError(
            f"imagenette was not found: looked for {folder}/train-*.parquet and validation-*.parquet. Put a Parquet "
            "mirror in the Hugging Face layout (columns image and label, all images square and of one size) there, or "
            "set another root with data.root or the variable GC2L_DATA."
        )
    return train, test


def load_imagenette(root: Path) -> ImageSet:
    """Read all images at the mirror's own size.

    Raises:
        FileNotFoundError: no files.
        ValueError: a file that cannot be read; the message names it.
    """
    train_files, test_files = imagenette_files(root)
    return image_set(read_images(train_files), read_images(test_files))
