"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), from torchvision's files or a Parquet mirror."""

from pathlib import Path

import numpy as np
from filelock import FileLock

from gc2l.data.arrays import ImageSet, image_set
from gc2l.data.decode import decode_all
from gc2l.data.parquet import check_against_meta, read_encoded
from gc2l.data.shards import LAYOUTS, find_shards
from gc2l.models.torchvision_import import torchvision

_SOURCES = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}

# Computed from mirrors whose pixels have the published mean and standard deviation.
KNOWN_FINGERPRINTS = {
    "cifar10": "f08f3fc8e9e44e051211a4e932c7b19cc739dedc35a38a2b568cc33faeffb522",
    "cifar100": "ee65ca7deeeb336f9374ee602f4864aa8df1ea5beb8a798482f7960b1913289b",
}


def prepare_cifar(name: str, root: Path) -> None:
    """Make sure that the files are under `root`; otherwise torchvision downloads them or unpacks its archive.

    Raises:
        FileNotFoundError: they are not there and cannot be downloaded; the message says how to get them.
        ValueError: there are Parquet files of several sets, see `find_shards`.
    """
    folder, lock = _torchvision_folder(name, root), root / f".{name}.lock"
    if (folder.is_dir() and not lock.exists()) or find_shards(root / name, "test"):
        return
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):  # of runs that start together one downloads, and the others wait
        if folder.is_dir():
            return
        try:
            _SOURCES[name](root, download=True)
        except (OSError, RuntimeError) as error:
            raise FileNotFoundError(_missing(name, root, error)) from error


def load_cifar(name: str, root: Path) -> ImageSet:
    """Read all images.

    Args:
        name: "cifar10" or "cifar100".
        root: folder of the data sets.

    Raises:
        FileNotFoundError: no files, see `prepare_cifar`.
        ValueError: a file is truncated or altered; the message names it or its folder.
    """
    if _torchvision_folder(name, root).is_dir():
        return image_set(*_read_torchvision(name, root))
    images = image_set(*_read_parquet(name, root))
    known = KNOWN_FINGERPRINTS.get(name)
    if known is not None and images.fingerprint != known:
        raise ValueError(
            f"{root / name}: altered, the fingerprint is {images.fingerprint}, but that of {name} is {known}"
        )
    return images


def _torchvision_folder(name: str, root: Path) -> Path:
    return root / _SOURCES[name].base_folder


def _read_torchvision(name: str, root: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    source, folder = _SOURCES[name], _torchvision_folder(name, root)
    meta = (source.meta["filename"], source.meta["md5"])
    for file, md5 in [*source.train_list, *source.test_list, meta]:  # before a pickle is opened: it can run code
        if not torchvision.datasets.utils.check_integrity(str(folder / file), md5):
            raise ValueError(f"{folder / file} is missing, truncated or altered; remove {folder} to download it again")
    halves = [source(root, train=train) for train in (True, False)]
    return [(half.data, np.array(half.targets)) for half in halves]


def _read_parquet(name: str, root: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    shards = find_shards(root / name, "test")
    if shards is None:
        raise FileNotFoundError(_missing(name, root, f"{root / name} has no Parquet files of both halves"))
    halves = []
    for split, files in zip(("train", "test"), shards, strict=True):
        encoded, labels = read_encoded(files)
        images = decode_all(encoded)
        check_against_meta(root / name, images, labels, files, split)
        halves.append((images, labels))
    return halves


def _missing(name: str, root: Path, reason: object) -> str:
    folder = _torchvision_folder(name, root)
    call = f"torchvision.datasets.{_SOURCES[name].__name__}({str(root)!r}, download=True)"
    return (
        f"{name} was not found: looked for torchvision's folder {folder} and for Parquet files "
        f"below {root / name} ({LAYOUTS}; the same with test), and the download failed ({reason}). Three ways to "
        f"get it: (1) on a machine with internet, {call}; "
        f"(2) copy the folder {folder.name} of such a machine, or the archive {_SOURCES[name].filename}, into {root}; "
        f"(3) put a Parquet mirror in the Hugging Face layout (columns img or image, label or fine_label) into "
        f"{root / name}. Another root is set with data.root or the variable GC2L_DATA."
    )
