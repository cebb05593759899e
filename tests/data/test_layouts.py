"""Data sets in the layouts in which people have them, each as a small tree, and what is said of incomplete ones."""

import io
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from gc2l.cells import DataConfig
from gc2l.data import cifar, imagenet_module, info, make_data_module
from gc2l.data.cifar import load_cifar, prepare_cifar
from gc2l.data.imagenet import FolderImages, ParquetImages, find_imagenet
from gc2l.data.imagenette import load_imagenette
from gc2l.models.torchvision_import import torchvision

Images = tuple[np.ndarray, np.ndarray]

WNIDS = ("n01440764", "n02102040", "n02979186")
# Class of each validation image; the makers number the classes in another order than that of the WordNet IDs.
VALIDATION = (2, 0, 1, 1, 0)
MAKERS_NUMBER = {0: 3, 1: 1, 2: 2}
COLOURS = ((250, 10, 10), (10, 250, 10), (10, 10, 250))


def save_image(file: Path, label: int, mode: str = "RGB", form: str = "JPEG", size: tuple[int, int] = (20, 18)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[label % 3]).convert(mode).save(file, form)


def write_train(folder: Path) -> None:
    for label, wnid in enumerate(WNIDS):
        for number in range(2):
            save_image(folder / wnid / f"{wnid}_{number}.JPEG", label)


def write_flat(folder: Path) -> None:
    for number, label in enumerate(VALIDATION, 1):
        save_image(folder / f"ILSVRC2012_val_{number:08d}.JPEG", label)


def write_nested(folder: Path) -> None:
    for number, label in enumerate(VALIDATION, 1):
        save_image(folder / WNIDS[label] / f"ILSVRC2012_val_{number:08d}.JPEG", label)


def write_solution(folder: Path) -> None:
    rows = [
        f"ILSVRC2012_val_{number:08d},{WNIDS[label]} 1 2 3 4 {WNIDS[label]} 5 6 7 8 "
        for number, label in reversed(list(enumerate(VALIDATION, 1)))
    ]
    (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows, ""]))


def write_devkit(folder: Path) -> Path:
    kit = folder / "ILSVRC2012_devkit_t12"
    (kit / "data").mkdir(parents=True)
    kind = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children")]
    leaves = [(MAKERS_NUMBER[label], wnid, "a, b", "c", 0, []) for label, wnid in enumerate(WNIDS)]
    inner = (1001, "n00001740", "entity", "all", 3, [1, 2, 3])  # the file has inner nodes of the tree, too
    synsets = np.array([*sorted(leaves), inner], dtype=kind)
    savemat(kit / "data" / "meta.mat", {"synsets": synsets})
    numbers = "".join(f"{MAKERS_NUMBER[label]}\n" for label in VALIDATION)
    (kit / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(numbers)
    return kit


def pack_devkit(folder: Path) -> Path:
    kit = write_devkit(folder)
    archive = folder / "ILSVRC2012_devkit_t12.tar.gz"
    with tarfile.open(archive, "w:gz") as content:
        content.add(kit, kit.name)
    shutil.rmtree(kit)
    return archive


def publish(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = torchvision.datasets.utils.calculate_md5(archive)
    monkeypatch.setitem(torchvision.datasets.imagenet.ARCHIVE_META, "devkit", (archive.name, md5))


def write_others(folder: Path) -> None:
    """What systems and people leave in between."""
    for place in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        (place / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (place / "notes.txt").write_text("notes")
        (place / "list.csv").write_text("a,b")
        (place / "._x.JPEG").write_bytes(b"\0\5\26\7")
        (place / ".ipynb_checkpoints").mkdir()
        save_image(place / ".ipynb_checkpoints" / "x-checkpoint.JPEG", 0)


def labels_match_colours(images: FolderImages) -> list[int]:
    """The labels, each of which is the brightest channel of its image."""
    labels = []
    for row in range(len(images)):
        image, label = images.read(row)
        assert image.mode == "RGB"
        assert np.asarray(image).mean((0, 1)).argmax() == label
        labels.append(label)
    return labels


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    write_train(tmp_path / "imagenet" / "train")
    write_flat(tmp_path / "imagenet" / "val")
    return tmp_path / "imagenet"


def fingerprint(root: Path) -> str:
    module = make_data_module(DataConfig(name="imagenet", root=root), batch_size=2, seed=1)
    module.prepare_data()
    module.setup()
    return module.fingerprint


@pytest.mark.parametrize("layout", ["solution", "devkit", "packed devkit", "kaggle"])
def test_validation_images_as_distributed(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_train(tmp_path / "nested" / "imagenet" / "train")
    write_nested(tmp_path / "nested" / "imagenet" / "val")
    folder = tmp_path / "flat" / "imagenet"
    place = folder / "ILSVRC" / "Data" / "CLS-LOC" if layout == "kaggle" else folder
    write_train(place / "train")
    write_flat(place / "val")
    if layout in ("solution", "kaggle"):
        write_solution(folder)
    elif layout == "devkit":
        write_devkit(folder)
    else:
        publish(pack_devkit(folder), monkeypatch)
    write_others(place / "train")
    write_others(place / "val")
    train, test = find_imagenet(tmp_path / "flat")
    assert labels_match_colours(train) == [0, 0, 1, 1, 2, 2]
    assert labels_match_colours(test) == list(VALIDATION)
    assert fingerprint(tmp_path / "flat") == fingerprint(tmp_path / "nested")


def test_the_fingerprint_of_class_folders_is_that_of_paths_and_sizes(tmp_path: Path) -> None:
    write_train(tmp_path / "imagenet" / "train")
    write_nested(tmp_path / "imagenet" / "val")
    files = [file for file in (tmp_path / "imagenet").rglob("*.JPEG")]
    expected = [(file.relative_to(tmp_path).as_posix(), file.stat().st_size) for file in files]
    assert fingerprint(tmp_path) == imagenet_module.files_fingerprint(expected)


def test_without_a_list_of_the_classes_one_message_tells_three_ways(flat: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        find_imagenet(flat.parent)
    for part in (f"{flat / 'val'} has 5 images", "LOC_val_solution.csv", "devkit_t12.tar.gz", "/val/<wnid>/", "(3)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("source", ["solution", "devkit"])
def test_an_incomplete_validation_set_is_named(source: str, flat: Path) -> None:
    write_solution(flat) if source == "solution" else write_devkit(flat)
    file = flat / "val" / "ILSVRC2012_val_00000003.JPEG"
    file.rename(flat / "val" / "holiday.JPEG")
    with pytest.raises(ValueError, match=r"holiday \(1 in all\), whose class is not in"):
        find_imagenet(flat.parent)
    (flat / "val" / "holiday.JPEG").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{file.name} \(1 in all\).* is missing"):
        find_imagenet(flat.parent)


def test_a_damaged_list_of_classes_is_named(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack_devkit(flat)
    with pytest.raises(ValueError, match=r"devkit_t12\.tar\.gz is truncated or altered"):
        find_imagenet(flat.parent)
    archive.unlink()
    kit = write_devkit(flat)
    synsets = kit / "data" / "meta.mat"
    whole = synsets.read_bytes()
    for damaged in (whole[: len(whole) // 2], b""):
        synsets.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"ILSVRC2012_devkit_t12: data/meta\.mat"):
            find_imagenet(flat.parent)
    (flat / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nILSVRC2012_val_00000001,\n")
    with pytest.raises(ValueError, match=r"LOC_val_solution\.csv, line 2"):
        find_imagenet(flat.parent)


@pytest.mark.parametrize("half", ["train", "val"])
@pytest.mark.parametrize("layout", ["nested", "flat"])
def test_a_class_of_one_half_only_is_named(layout: str, half: str, tmp_path: Path) -> None:
    folder = tmp_path / "imagenet"
    write_train(folder / "train")
    if layout == "nested":
        write_nested(folder / "val")
    else:
        write_flat(folder / "val")
        write_solution(folder)
    alone = WNIDS[0]
    if half == "val":
        shutil.rmtree(folder / "train" / alone)
    else:
        alone = "n00000001"  # before the others: their labels move
        save_image(folder / "train" / alone / "1.JPEG", 0)
    other = "val" if half == "train" else "train"
    with pytest.raises(ValueError, match=f"{folder / half} has the class {alone}, which {folder / other} has not"):
        find_imagenet(tmp_path)


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    write_train(tmp_path / "imagenet" / "train")
    write_nested(tmp_path / "imagenet" / "val")
    save_image(tmp_path / "imagenet" / "val" / "ILSVRC2012_val_00000009.JPEG", 0)  # a script that stopped half-way
    with pytest.raises(ValueError, match=r"val has images beside its class folders, such as ILSVRC2012_val_00000009"):
        find_imagenet(tmp_path)


def test_a_class_without_images_and_too_many_classes_are_named(tmp_path: Path) -> None:
    write_train(tmp_path / "imagenet" / "train")
    write_nested(tmp_path / "imagenet" / "val")
    (tmp_path / "imagenet" / "val" / WNIDS[0] / "ILSVRC2012_val_00000002.JPEG").rename(tmp_path / "away")
    (tmp_path / "imagenet" / "val" / WNIDS[0] / "ILSVRC2012_val_00000005.JPEG").unlink()
    with pytest.raises(FileNotFoundError, match=f"val: .*{WNIDS[0]}"):
        find_imagenet(tmp_path)
    for number in range(1000):
        (tmp_path / "imagenet" / "train" / f"m{number:04d}").mkdir()
    with pytest.raises(ValueError, match="1003 class folders; 1 to 1000"):
        find_imagenet(tmp_path)


def test_images_of_every_kind_are_read_and_damaged_ones_named(flat: Path) -> None:
    write_solution(flat)
    validation = flat / "val"
    kinds = [("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("RGB", "WEBP")]
    for number, (label, (mode, form)) in enumerate(zip(VALIDATION, kinds, strict=True), 1):
        save_image(validation / f"ILSVRC2012_val_{number:08d}.JPEG", label, mode, form)
    _, test = find_imagenet(flat.parent)
    assert labels_match_colours(test) == list(VALIDATION)
    grey = validation / "ILSVRC2012_val_00000001.JPEG"
    save_image(grey, 0, "L")
    image, _ = test.read(0)
    assert image.mode == "RGB"
    assert len({channel.tobytes() for channel in image.split()}) == 1
    whole = (flat / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG").read_bytes()
    bomb = io.BytesIO()
    Image.new("RGB", (1, 1)).save(bomb, "BMP")
    huge = bytearray(bomb.getvalue())
    huge[18:26] = b"\xff\xff\0\0" * 2  # 65,535 pixels wide and high
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    for damaged in (whole[:100], whole[:-50], b"", b"<html>404</html>", bytes(huge), script):
        grey.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{grey} cannot be decoded"):
            test.read(0)


CONVERTED = ["{}/0000", "default/{}/0000", "plain_text/{}/0000"]
HUB = ["{}-00000-of-00001", "data/{}-00000-of-00001", "plain_text/{}-00000-of-00001", "data/{}-00000-of-00001-0a1b2c"]


@pytest.mark.parametrize("layout", CONVERTED + HUB)
@pytest.mark.parametrize(
    ("name", "test", "columns"),
    [
        ("cifar10", "test", ("img", "label")),
        ("cifar100", "test", ("img", "fine_label")),
        ("imagenette", "validation", ("image", "label")),
        ("imagenet", "validation", ("image", "label")),
    ],
)
def test_layouts_of_the_hub(
    layout: str,
    name: str,
    test: str,
    columns: tuple[str, str],
    tmp_path: Path,
    tiny_images: Images,
    write_parquet: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cifar, "KNOWN_FINGERPRINTS", {})
    monkeypatch.setitem(info._DATASETS, name, replace(info.dataset_info(name), train_rows=16, test_rows=4))
    images, labels = tiny_images
    for split, rows in (("train", slice(0, 16)), (test, slice(16, 20))):
        file = tmp_path / name / f"{layout.format(split)}.parquet"
        write_parquet(file, images[rows], labels[rows], columns)
    if name == "imagenet":
        train, _ = find_imagenet(tmp_path)
        assert isinstance(train, ParquetImages)
        pairs = [train.read(row) for row in range(len(train))]
        found = {(np.asarray(image).tobytes(), label) for image, label in pairs}
    else:
        if name != "imagenette":
            prepare_cifar(name, tmp_path)
        half = (load_imagenette(tmp_path) if name == "imagenette" else load_cifar(name, tmp_path)).train
        pixels = half.images.permute(0, 2, 3, 1).numpy()
        found = {(image.tobytes(), label) for image, label in zip(pixels, half.labels.tolist(), strict=True)}
    assert found == {(image.tobytes(), label) for image, label in zip(images[:16], labels[:16].tolist(), strict=True)}


@pytest.fixture
def shards(tmp_path: Path, tiny_images: Images, write_parquet: Callable) -> Callable[..., Path]:
    """Writes copies of one small file under the names given, below imagenet."""
    write_parquet(tmp_path / "one.parquet", tiny_images[0][:2], tiny_images[1][:2], ("image", "label"))

    def write(*names: str) -> Path:
        for name in names:
            file = tmp_path / "imagenet" / f"{name}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "one.parquet", file)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00001-of-00002", "validation-00000-of-00001"], r"train-00000-of-00002\.parquet is missing"),
        (["data/train-00000-of-00002-ab", "data/validation-00000-of-00001-cd"], r"train-00001-of-00002\.parquet is mi"),
        (["a/train/0000", "a/train/0002", "a/validation/0000"], r"a/train/0001\.parquet is missing"),
        (["a/train/0000", "a/validation/0001"], r"a/validation/0000\.parquet is missing"),
        (
            ["a/train/0000", "a/validation/0000"],
            r"a/train has 2 rows up to 0000\.parquet, but the set has 1281167",
        ),
        (["data/train-00000-of-00001"], r"data has no validation-\*\.parquet"),
        (["data/train-00000-of-00001", "data/val-00000-of-00001"], r"found val-00000-of-00001\.parquet"),
        (["default/partial-train/0000", "default/partial-validation/0000"], r"default/partial-train is a part of"),
    ],
)
def test_missing_shards_are_named(names: list[str], message: str, shards: Callable) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        find_imagenet(shards(*names))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/train/0000", "a/validation/0000", "b/train/0000", "b/validation/0000"], "several folders: a, b"),
        (["data/train-00000-of-00001", "a/train/0000", "a/validation/0000"], "several folders: a, data"),
        (["train-00000-of-00001", "train-00000-of-00001 (1)", "validation-0"], "more than one version"),
        (["train-00000-of-00001-a", "train-00000-of-00001-b", "validation-0"], "more than one version"),
        (["train-00000-of-00001", "train-00001-of-00002", "validation-0"], "more than one version"),
    ],
)
def test_several_configurations_or_versions_are_refused(names: list[str], message: str, shards: Callable) -> None:
    with pytest.raises(ValueError, match=message):
        find_imagenet(shards(*names))


def test_the_last_shards_of_imagenette_are_missed(tmp_path: Path, tiny_images: Images, write_parquet: Callable) -> None:
    for split in ("train", "validation"):
        write_parquet(tmp_path / "imagenette" / "160px" / split / "0000.parquet", *tiny_images, ("image", "label"))
    with pytest.raises(FileNotFoundError, match=r"160px/train has 20 rows up to 0000\.parquet"):
        load_imagenette(tmp_path)


def test_page_checksums_are_checked_where_a_file_has_them(
    tmp_path: Path, tiny_images: Images, write_parquet: Callable
) -> None:
    for split in ("train", "validation"):
        file = tmp_path / "imagenette" / f"{split}-00000-of-00001.parquet"
        write_parquet(file, *tiny_images, ("image", "label"), "BMP")
        table = pq.read_table(file)
        pq.write_table(table, file, write_page_checksum=True, compression="NONE", use_dictionary=False)
    load_imagenette(tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index(tiny_images[0][3, -1, :, ::-1].tobytes()) + 20] ^= 1  # one bit of one pixel
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{file} cannot be read"):
        load_imagenette(tmp_path)


@pytest.mark.parametrize("label", [None, -1])
def test_rows_without_a_label_are_named(label: int | None, tmp_path: Path, shards: Callable) -> None:
    root = shards("train-00000-of-00001", "validation-00000-of-00001")
    file = root / "imagenet" / "validation-00000-of-00001.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(1, "label", pa.array([0, label], pa.int64())), file)
    _, test = find_imagenet(root)
    with pytest.raises(ValueError, match=rf"{file.name}, row group 0, row 1: label is {label}"):
        test.read(0)


def test_images_that_are_not_encoded_are_refused(tmp_path: Path, shards: Callable) -> None:
    root = shards("train-00000-of-00001", "validation-00000-of-00001")
    pq.write_table(pa.table({"image": [b"x"], "label": [0]}), root / "imagenet" / "train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="'image' is of type binary; a struct"):
        find_imagenet(root)


def write_imagenette(folder: Path, sizes: list[tuple[int, int]]) -> None:
    for split in ("train", "val"):
        for label, wnid in enumerate(WNIDS):
            for number, size in enumerate(sizes):
                save_image(folder / split / wnid / f"{number}.JPEG", label, size=size)
    (folder / "noisy_imagenette.csv").write_text("path,noisy_labels_0\n")


@pytest.mark.parametrize("place", ["imagenette2-160", "imagenette2", "imagenette/imagenette2-320", "imagenette"])
def test_imagenette_in_the_folders_of_fast_ai(place: str, tmp_path: Path) -> None:
    write_imagenette(tmp_path / place, [(32, 48), (32, 32), (51, 32), (64, 90)])
    write_others(tmp_path / place / "train")
    module = make_data_module(DataConfig(name="imagenette", root=tmp_path, image_size=28), batch_size=4, seed=1)
    module.prepare_data()
    module.setup()
    assert module.images.train.images.shape == (12, 3, 32, 32)
    assert module.images.test.images.shape == (12, 3, 28, 28)
    for half in (module.images.train, module.images.test):
        assert torch.equal(half.images.float().mean((2, 3)).argmax(1), half.labels)
    victim = tmp_path / place / "val" / WNIDS[1] / "2.JPEG"
    victim.write_bytes(victim.read_bytes()[:300])
    with pytest.raises(ValueError, match=f"{victim} cannot be decoded"):
        load_imagenette(tmp_path)


def test_a_folder_with_a_part_of_the_images_is_told(tmp_path: Path) -> None:
    """As an archive is that was unpacked in part."""
    write_imagenette(tmp_path / "imagenette2", [(32, 32)] * 2)
    with pytest.warns(UserWarning, match="imagenette2 has 6 (training|test) images") as told:
        load_imagenette(tmp_path)
    half, other = (str(warning.message) for warning in told)
    assert "6 training images, the whole of imagenette has 9469" in half
    assert "6 test images, the whole of imagenette has 3925" in other
    (tmp_path / "imagenette2").rename(tmp_path / "imagenet")
    with pytest.warns(UserWarning, match="imagenet has 6 test images, the whole of imagenet has 50000"):
        find_imagenet(tmp_path)


def test_imagenette_keeps_the_centre_at_its_scale(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for split in ("train", "val"):
        (tmp_path / "imagenette2" / split / WNIDS[0]).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "imagenette2" / split / WNIDS[0] / "1.png")
    images = load_imagenette(tmp_path).train.images
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), pixels[:, 10:50])


def test_imagenette_of_large_images_is_brought_to_320_pixels(tmp_path: Path) -> None:
    write_imagenette(tmp_path / "imagenette2", [(500, 375)])
    assert load_imagenette(tmp_path).train.images.shape == (3, 3, 320, 320)


def test_several_or_packed_imagenettes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"imagenette2-160 below .* has to be unpacked"):
        load_imagenette(tmp_path)
    for name in ("imagenette2-160", "imagenette2-320"):
        write_imagenette(tmp_path / name, [(32, 32)])
    with pytest.raises(ValueError, match=r"more than once: .*imagenette2-320, .*imagenette2-160"):
        load_imagenette(tmp_path)


def test_torchvisions_archive_of_cifar_is_unpacked_without_a_download(
    tmp_path: Path, tiny_images: Images, write_pickles: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = torchvision.datasets.CIFAR10
    folder = write_pickles(tmp_path, "cifar10", *tiny_images)
    with tarfile.open(tmp_path / source.filename, "w:gz") as archive:
        archive.add(folder, folder.name)
    shutil.rmtree(folder)
    monkeypatch.setattr(source, "tgz_md5", torchvision.datasets.utils.calculate_md5(tmp_path / source.filename))
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", None)
    prepare_cifar("cifar10", tmp_path)
    assert len(load_cifar("cifar10", tmp_path).train) == 16
