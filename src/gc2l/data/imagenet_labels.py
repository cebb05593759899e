"""The classes of ImageNet's validation images that lie in one folder: from Kaggle's list or the development kit."""

import csv
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from scipy.io import loadmat

from gc2l.models.torchvision_import import torchvision

_SOLUTION = "LOC_val_solution.csv"
_DEVKIT = "ILSVRC2012_devkit_t12"
_SYNSETS = "data/meta.mat"
_GROUND_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"


def validation_classes(folder: Path, validation: Path, images: Sequence[str]) -> list[str]:
    """The class, by its WordNet ID, of each image.

    Args:
        folder: of the data set; the lists are looked for here and in the folders between it and `validation`.
        validation: where the images lie.
        images: their file names.

    Raises:
        FileNotFoundError: there is no list, or an image that is in the list is missing.
        ValueError: a list that cannot be read, or an image that is not in it.
    """
    places = [place for place in validation.parents if place.is_relative_to(folder)]
    for place in reversed(places):
        if (place / _SOLUTION).is_file():
            source = place / _SOLUTION
            classes = _from_solution(source)
            break
        if (place / _DEVKIT).is_dir() or (place / f"{_DEVKIT}.tar.gz").is_file():
            source = place / _DEVKIT
            classes = _from_devkit(source)
            break
    else:
        raise FileNotFoundError(
            f"{validation} has {len(images)} images but no class folders, and no list of their classes was found. "
            f"Three ways to mend it: (1) put Kaggle's {_SOLUTION} into {folder}; (2) put the development kit, "
            f"{_DEVKIT}.tar.gz or its folder {_DEVKIT}, into {folder}; (3) move each image into a folder of its class, "
            f"{validation}/<wnid>/, as torchvision.datasets.ImageNet does when it unpacks the archive."
        )
    stems = [Path(image).stem for image in images]
    unknown = sorted(set(stems) - classes.keys())
    if unknown:
        raise ValueError(f"{validation} has {unknown[0]} ({len(unknown)} in all), whose class is not in {source}")
    missing = sorted(classes.keys() - set(stems))
    if missing:
        raise FileNotFoundError(
            f"{validation} is not complete: {missing[0]}.JPEG ({len(missing)} in all), which is in {source}, is missing"
        )
    return [classes[stem] for stem in stems]


def _from_solution(file: Path) -> dict[str, str]:
    """Class by image, from rows such as `ILSVRC2012_val_00000001,n01751748 111 108 230 366` (class and box)."""
    classes = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), 2):
            image, prediction = row.get("ImageId"), (row.get("PredictionString") or "").split()
            if not image or not prediction:
                raise ValueError(f"{file}, line {number}: an ImageId and a PredictionString are needed, found {row}")
            classes[image] = prediction[0]
    return classes


def _from_devkit(folder: Path) -> dict[str, str]:
    """Class by image; line i of the ground truth is the makers' number of the class of image i."""
    synsets, ground_truth = _devkit_files(folder)
    try:
        table = loadmat(io.BytesIO(synsets), squeeze_me=True)["synsets"]
        leaves = table[table["num_children"] == 0]
        wnids = dict(zip(leaves["ILSVRC2012_ID"].tolist(), leaves["WNID"].tolist(), strict=True))
        numbers = [int(line) for line in ground_truth.split()]
        return {f"ILSVRC2012_val_{row:08d}": wnids[number] for row, number in enumerate(numbers, 1)}
    except Exception as error:  # SciPy's errors for damaged files have no common class
        raise ValueError(f"{folder}: {_SYNSETS} or {_GROUND_TRUTH} cannot be read (altered?): {error!r}") from error


def _devkit_files(folder: Path) -> tuple[bytes, bytes]:
    if folder.is_dir():
        return (folder / _SYNSETS).read_bytes(), (folder / _GROUND_TRUTH).read_bytes()
    archive = folder.with_name(f"{folder.name}.tar.gz")
    md5 = torchvision.datasets.imagenet.ARCHIVE_META["devkit"][1]
    if not torchvision.datasets.utils.check_integrity(str(archive), md5):
        raise ValueError(f"{archive} is truncated or altered: its MD5 is not the published {md5}")
    with tarfile.open(archive) as content:
        files = [content.extractfile(f"{folder.name}/{name}") for name in (_SYNSETS, _GROUND_TRUTH)]
        synsets, ground_truth = (file.read() if file is not None else b"" for file in files)
    return synsets, ground_truth
