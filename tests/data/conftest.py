"""The shared images, and tiny sets in the layouts that users have."""

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gc2l.models.torchvision_import import torchvision


@pytest.fixture(scope="session")
def shared_data() -> Path:
    root = Path(os.environ.get("GC2L_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not (root / "cifar10").is_dir():
        pytest.skip(f"needs the images in {root}, see GC2L_DATA")
    return root


@pytest.fixture
def tiny_images() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), generator.integers(0, 10, 20)


@pytest.fixture
def write_parquet() -> Callable[..., None]:
    def write(file: Path, images: np.ndarray, labels: np.ndarray, columns: tuple[str, str], form: str = "PNG") -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, image in enumerate(images):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, form, lossless=True)
            rows.append({"bytes": buffer.getvalue(), "path": f"{number}.png"})
        pq.write_table(pa.table({columns[0]: rows, columns[1]: labels.tolist()}), file, row_group_size=8)

    return write


@pytest.fixture
def write_pickles(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """torchvision's folder of a set of 20 rows: two training batches of 8, a test batch of 4."""

    def write(root: Path, name: str, images: np.ndarray, labels: np.ndarray) -> Path:
        source = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[name]
        folder = root / source.base_folder
        folder.mkdir(parents=True)
        key = "labels" if name == "cifar10" else "fine_labels"
        sums = {}
        for file, rows in {"one": slice(0, 8), "two": slice(8, 16), "three": slice(16, 20)}.items():
            data = images[rows].transpose(0, 3, 1, 2).reshape(-1, 3072)
            (folder / file).write_bytes(pickle.dumps({"data": data, key: labels[rows].tolist()}))
            sums[file] = torchvision.datasets.utils.calculate_md5(folder / file)
        meta = folder / source.meta["filename"]
        meta.write_bytes(pickle.dumps({source.meta["key"]: list("abcdefghij")}))
        md5 = torchvision.datasets.utils.calculate_md5(meta)
        monkeypatch.setattr(source, "train_list", [["one", sums["one"]], ["two", sums["two"]]])
        monkeypatch.setattr(source, "test_list", [["three", sums["three"]]])
        monkeypatch.setattr(source, "meta", source.meta | {"md5": md5})
        return folder

    return write
