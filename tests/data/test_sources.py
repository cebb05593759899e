"""CIFAR from both sources, and what a missing, truncated or altered file says."""

import hashlib
import json
import pickle
import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gc2l.data import cifar
from gc2l.data.arrays import image_set
from gc2l.data.cifar import load_cifar, prepare_cifar
from gc2l.data.info import dataset_info
from gc2l.models.torchvision_import import torchvision

Images = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def unknown_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "KNOWN_FINGERPRINTS", {})


@pytest.fixture
def parquet_root(tmp_path: Path, tiny_images: Images, write_parquet: Callable[..., None]) -> Path:
    images, labels = tiny_images
    shards = {
        "train-00000-of-00002": slice(0, 10),
        "train-00001-of-00002": slice(10, 16),
        "test-00000-of-00001": slice(16, 20),
    }
    for name, rows in shards.items():
        write_parquet(tmp_path / "cifar10" / f"{name}.parquet", images[rows], labels[rows], ("img", "label"))
    return tmp_path


def test_shared_cifar10_has_the_published_statistics_and_its_fingerprint(shared_data: Path) -> None:
    images = load_cifar("cifar10", shared_data)  # checks the fingerprint and meta.json
    assert images.fingerprint == cifar.KNOWN_FINGERPRINTS["cifar10"]
    info = dataset_info("cifar10")
    assert (len(images.train), len(images.test)) == (info.train_rows, info.test_rows)
    assert images.train.labels.bincount().tolist() == [5000] * 10
    assert images.test.labels.bincount().tolist() == [1000] * 10
    for channel in range(3):
        counts = torch.bincount(images.train.images[:, channel].flatten(), minlength=256).double()
        shades = torch.arange(256, dtype=torch.float64) / 255
        mean = (counts * shades).sum() / counts.sum()
        std = ((counts * (shades - mean) ** 2).sum() / counts.sum()).sqrt()
        assert mean.item() == pytest.approx(info.mean[channel], abs=1e-5)
        assert std.item() == pytest.approx(info.std[channel], abs=1e-5)


@pytest.mark.usefixtures("unknown_sets")
@pytest.mark.parametrize(("name", "form"), [("cifar10", "PNG"), ("cifar10", "WEBP"), ("cifar100", "PNG")])
def test_both_sources_give_the_same_rows_and_fingerprint(
    name: str, form: str, tmp_path: Path, tiny_images: Images, write_parquet: Callable, write_pickles: Callable
) -> None:
    images, labels = tiny_images
    write_pickles(tmp_path / "pickles", name, images, labels)
    columns = ("img", "label") if name == "cifar10" else ("image", "fine_label")
    order = np.random.default_rng(1).permutation(16)
    folder = tmp_path / "parquet" / name
    write_parquet(folder / "train-00000-of-00001.parquet", images[order], labels[order], columns, form)
    write_parquet(folder / "test-00000-of-00001.parquet", images[16:], labels[16:], columns, form)
    left, right = load_cifar(name, tmp_path / "pickles"), load_cifar(name, tmp_path / "parquet")
    assert left.fingerprint == right.fingerprint
    for one, other in ((left.train, right.train), (left.test, right.test)):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    expected = {(image.tobytes(), label) for image, label in zip(images[:16], labels[:16].tolist(), strict=True)}
    found = zip(left.train.images.permute(0, 2, 3, 1).numpy(), left.train.labels.tolist(), strict=True)
    assert {(image.tobytes(), label) for image, label in found} == expected


def test_fingerprint_by_its_definition(tiny_images: Images) -> None:
    images, labels = tiny_images
    rows = zip(images, labels.tolist(), strict=True)
    digests = [hashlib.sha256(image.tobytes() + bytes([label])).digest() for image, label in rows]
    expected = hashlib.sha256(b"".join(sorted(digests[:16]) + sorted(digests[16:]))).hexdigest()
    test = (images[16:], labels[16:])
    assert image_set((images[:16], labels[:16]), test).fingerprint == expected
    relabelled = labels[:16].copy()
    relabelled[3] += 1
    assert image_set((images[:16], relabelled), test).fingerprint != expected


def test_other_images_under_a_known_name_are_refused(parquet_root: Path) -> None:
    with pytest.raises(ValueError, match=r"cifar10: altered, the fingerprint is"):
        load_cifar("cifar10", parquet_root)


@pytest.mark.usefixtures("unknown_sets")
@pytest.mark.parametrize("kept", [0, 100, -5])
def test_a_truncated_parquet_file_is_named(parquet_root: Path, kept: int) -> None:
    file = parquet_root / "cifar10" / "train-00001-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=file.name):
        load_cifar("cifar10", parquet_root)


@pytest.mark.usefixtures("unknown_sets")
def test_damaged_bytes_inside_a_parquet_file_are_named(parquet_root: Path) -> None:
    file = parquet_root / "cifar10" / "test-00000-of-00001.parquet"
    content = bytearray(file.read_bytes())
    content[200:1200] = bytes(1000)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=file.name):
        load_cifar("cifar10", parquet_root)


def test_a_missing_shard_is_named(parquet_root: Path) -> None:
    (parquet_root / "cifar10" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="train-00000-of-00002"):
        load_cifar("cifar10", parquet_root)


@pytest.mark.usefixtures("unknown_sets")
def test_meta_json_is_checked_in_file_order(parquet_root: Path, tiny_images: Images, write_parquet: Callable) -> None:
    images, labels = tiny_images
    digest = hashlib.sha256(images[:16].tobytes()).hexdigest()
    meta = {"classes": [], "train": {"rows": 16, "sha256_pixels": digest}}
    (parquet_root / "cifar10" / "meta.json").write_text(json.dumps(meta))
    load_cifar("cifar10", parquet_root)
    images[12, 5, 5, 1] ^= 1
    file = parquet_root / "cifar10" / "train-00001-of-00002.parquet"
    write_parquet(file, images[10:16], labels[10:16], ("img", "label"))
    with pytest.raises(ValueError, match=f"{file.name}: altered, sha256_pixels"):
        load_cifar("cifar10", parquet_root)


@pytest.mark.usefixtures("unknown_sets")
def test_wrong_columns_are_named(tmp_path: Path, tiny_images: Images, write_parquet: Callable) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / "cifar10" / f"{split}-00000-of-00001.parquet", *tiny_images, ("picture", "label"))
    with pytest.raises(ValueError, match=r"\['picture', 'label'\]"):
        load_cifar("cifar10", tmp_path)


@pytest.mark.usefixtures("unknown_sets")
def test_an_altered_pickle_is_named(tmp_path: Path, tiny_images: Images, write_pickles: Callable) -> None:
    folder = write_pickles(tmp_path, "cifar10", *tiny_images)
    content = bytearray((folder / "two").read_bytes())
    content[500] ^= 1
    (folder / "two").write_bytes(content)
    with pytest.raises(ValueError, match=r"cifar-10-batches-py.two is missing, truncated or altered"):
        load_cifar("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("name", "source", "folder"),
    [("cifar10", "CIFAR10", "cifar-10-batches-py"), ("cifar100", "CIFAR100", "cifar-100-python")],
)
def test_missing_data_says_what_was_looked_for_and_how_to_get_it(
    name: str, source: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(self: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(getattr(torchvision.datasets, source), "download", offline)
    with pytest.raises(FileNotFoundError) as caught:
        prepare_cifar(name, tmp_path)
    for part in (folder, str(tmp_path / name), "no route to host", f"datasets.{source}", "Parquet", "GC2L_DATA"):
        assert part in str(caught.value)


@pytest.mark.usefixtures("unknown_sets")
def test_what_is_missing_is_downloaded_with_torchvision(
    tmp_path: Path, tiny_images: Images, write_pickles: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(self: object) -> None:
        write_pickles(tmp_path / "new", "cifar10", *tiny_images)

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", download)
    prepare_cifar("cifar10", tmp_path / "new")
    assert len(load_cifar("cifar10", tmp_path / "new").train) == 16


def test_a_folder_that_another_process_finished_meanwhile_is_taken(
    tmp_path: Path, tiny_images: Images, write_pickles: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pickles(tmp_path, "cifar10", *tiny_images)
    (tmp_path / ".cifar10.lock").touch()
    monkeypatch.delattr(torchvision.datasets.CIFAR10, "download")
    prepare_cifar("cifar10", tmp_path)


def test_no_download_when_parquet_is_there(parquet_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torchvision.datasets.CIFAR10, "download")
    prepare_cifar("cifar10", parquet_root)


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("place", ["one", "three", "meta"])
def test_a_pickle_of_another_md5_is_never_opened(
    name: str, place: str, tmp_path: Path, tiny_images: Images, write_pickles: Callable
) -> None:
    folder = write_pickles(tmp_path, name, *tiny_images)
    source = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[name]
    file = folder / (source.meta["filename"] if place == "meta" else place)
    payload = pickle.dumps(Payload(tmp_path / "ran"))
    pickle.loads(payload)
    (tmp_path / "ran").unlink()  # it does run when it is opened
    file.write_bytes(payload)
    with pytest.raises(ValueError, match=f"{file} is missing, truncated or altered"):
        load_cifar(name, tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("unknown_sets")
def test_meta_json_above_the_files_is_checked_and_a_damaged_one_named(
    tmp_path: Path, tiny_images: Images, write_parquet: Callable
) -> None:
    images, labels = tiny_images
    folder = tmp_path / "cifar10"
    for split, rows in (("train", slice(0, 16)), ("test", slice(16, 20))):
        write_parquet(folder / "plain_text" / split / "0000.parquet", images[rows], labels[rows], ("img", "label"))
    digest = hashlib.sha256(labels[:16].astype(np.uint8).tobytes()).hexdigest()
    meta = folder / "meta.json"
    meta.write_text(json.dumps({"train": {"sha256_labels": digest}}))
    load_cifar("cifar10", tmp_path)
    meta.write_text(json.dumps({"train": {"sha256_labels": "0" + digest[1:]}}))
    with pytest.raises(ValueError, match=r"0000\.parquet: altered, sha256_labels"):
        load_cifar("cifar10", tmp_path)
    meta.write_text(meta.read_text()[:-5])
    with pytest.raises(ValueError, match=r"meta\.json cannot be read as JSON"):
        load_cifar("cifar10", tmp_path)
