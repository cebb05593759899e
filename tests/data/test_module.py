"""What reaches a training step: shapes, scale, augmentation, and the same batches after a resume."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from data.single_images import normalised, padded_crop, resized_window
from PIL import Image
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from torchvision.transforms import v2

from gc2l.cells import DataConfig
from gc2l.data import dataset_info, imagenet_module, make_data_module
from gc2l.data.arrays import ImageSet, ImageSplit
from gc2l.data.digits import load_digits

Sources = dict[str, Path]


class Witness(LightningModule):
    """Trains one number and notes a digest of every training batch, by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[str]] = {}
        self.tested = 0

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        images, labels = batch
        digest = hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
        self.seen.setdefault(self.current_epoch, []).append(digest)
        return self.weight * images.mean()

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        self.tested += len(batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(epochs: int) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@pytest.fixture
def imagenet_root(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for split, count in (("train", 7), ("val", 3)):
        for wnid in ("n01440764", "n02102040"):
            folder = tmp_path / "imagenet" / split / wnid
            folder.mkdir(parents=True)
            for number in range(count):
                shape = (40 + number, 50, 3) if number else (40, 50)  # one is grey, as some of ImageNet's
                image = Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8))
                image.save(folder / f"{number}.JPEG")
    return tmp_path


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet_module, "WORKERS", 0)


def prepared(config: DataConfig, **arguments: object) -> LightningDataModule:
    module = make_data_module(config, **({"batch_size": 64, "seed": 1} | arguments))
    module.prepare_data()
    module.setup()
    return module


def first_batch(module: LightningDataModule, *, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    loader = module.train_dataloader() if train else module.test_dataloader()
    return module.on_after_batch_transfer(next(iter(loader)), 0)


def resumes_exactly(make: Callable[[], LightningDataModule], checkpoint: Path) -> None:
    whole, first, second = Witness(), Witness(), Witness()
    trainer(4).fit(whole, datamodule=make())
    stopped = trainer(2)
    stopped.fit(first, datamodule=make())
    stopped.save_checkpoint(checkpoint)
    trainer(4).fit(second, datamodule=make(), ckpt_path=checkpoint)
    assert first.seen | second.seen == whole.seen
    assert sorted(second.seen) == [2, 3]
    assert len({batches[0] for batches in whole.seen.values()}) == 4


def test_a_resumed_run_sees_what_an_uninterrupted_run_sees(tmp_path: Path) -> None:
    resumes_exactly(lambda: make_data_module(DataConfig(name="digits"), batch_size=400, seed=3), tmp_path / "last.ckpt")


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.usefixtures("in_process")
def test_a_resumed_run_on_imagenet_too(imagenet_root: Path, tmp_path: Path) -> None:
    config = DataConfig(name="imagenet", root=imagenet_root, image_size=16)
    resumes_exactly(lambda: make_data_module(config, batch_size=4, seed=3), tmp_path / "last.ckpt")


def test_digits_are_split_once_and_for_all() -> None:
    module = prepared(DataConfig(name="digits"))
    assert (module.train_rows, module.test_rows, module.num_classes) == (1437, 360, 10)
    assert module.fingerprint == "850126380f559e3ac182bbd93ea40534d25728b76a19bd8ef334daa4a41943e3"
    digits = load_digits()
    for split in (digits.train, digits.test):
        assert torch.equal(split.images[:, 0], split.images[:, 1])
        assert torch.equal(split.images[:, 0], split.images[:, 2])
        assert (split.labels.bincount() / len(split)).sub(0.1).abs().max() < 0.03
    shades = digits.train.images.double() / 255
    info = dataset_info("digits")
    assert info.mean == (pytest.approx(shades.mean().item(), abs=1e-5),) * 3
    assert info.std == (pytest.approx(shades.std(correction=0).item(), abs=1e-5),) * 3


@pytest.mark.parametrize("size", [None, 32, 12])
def test_digits_batches(size: int | None) -> None:
    module = prepared(DataConfig(name="digits", image_size=size), channels_last=True)
    for train in (True, False):
        images, labels = first_batch(module, train=train)
        assert images.shape == (64, 3, size or 8, size or 8)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64
    seen = torch.cat([labels for _, labels in module.test_dataloader()])
    assert torch.equal(seen, module.images.test.labels)


def random_set(loader: str, monkeypatch: pytest.MonkeyPatch, side: int) -> ImageSet:
    """Random images, which the loader of that name reads from now on; a label is the number of its row."""
    generator = torch.Generator().manual_seed(0)
    halves = [
        ImageSplit(
            torch.randint(0, 256, (rows, 3, side, side), dtype=torch.uint8, generator=generator), torch.arange(rows)
        )
        for rows in (200, 5)
    ]
    images = ImageSet(*halves, fingerprint="")
    monkeypatch.setattr(f"gc2l.data.module.{loader}", lambda *_: images)
    return images


@pytest.mark.parametrize(
    ("name", "loader", "side", "padding", "mirrors", "mean", "std"),
    [
        ("cifar10", "load_cifar", 32, 4, True, (0.4914, 0.48216, 0.44653), (0.24703, 0.24349, 0.26159)),
        ("cifar100", "load_cifar", 32, 4, True, (0.50707, 0.48655, 0.44092), (0.26733, 0.25644, 0.27615)),
        ("digits", "load_digits", 8, 1, False, (0.30483,) * 3, (0.37572,) * 3),
    ],
)
def test_images_are_padded_cropped_and_mirrored_to_train_and_left_alone_to_test(
    name: str,
    loader: str,
    side: int,
    padding: int,
    mirrors: bool,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = random_set(loader, monkeypatch, side)
    module = make_data_module(DataConfig(name=name, root=tmp_path), batch_size=200, seed=1)
    module.setup()
    batch = next(iter(module.train_dataloader()))
    rows, draws = batch[1].tolist(), batch[2].tolist()
    for place in (0, 1):  # from the top, from the left
        assert {draw[place] for draw in draws} == set(range(2 * padding + 1))
    assert {draw[2] for draw in draws} == ({0, 1} if mirrors else {0})
    crops = [padded_crop(images.train.images[row], padding, draw) for row, draw in zip(rows, draws, strict=True)]
    found, labels = module.on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(found, torch.stack([normalised(crop, mean, std) for crop in crops]))
    assert labels.tolist() == rows
    found, _ = first_batch(module, train=False)
    torch.testing.assert_close(found, torch.stack([normalised(image, mean, std) for image in images.test.images]))


def test_imagenette_has_random_windows_to_train_and_the_centre_to_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    images = random_set("load_imagenette", monkeypatch, 128)
    module = make_data_module(DataConfig(name="imagenette", root=tmp_path, image_size=64), batch_size=20, seed=1)
    module.setup()
    batch = next(iter(module.train_dataloader()))
    rows, draws = batch[1].tolist(), batch[2].tolist()
    assert len({tuple(draw[:4]) for draw in draws}) == 20
    assert {draw[4] for draw in draws} == {0, 1}
    found, _ = module.on_after_batch_transfer(batch, 0)
    for row, draw, result in zip(rows, draws, found, strict=True):
        window = resized_window(images.train.images[row], 64, draw)
        # Pixels as in `test_augment`, over 255 standard deviations.
        torch.testing.assert_close(result, normalised(window, mean, std), rtol=0, atol=4e-5)
    found, _ = first_batch(module, train=False)
    for image, result in zip(images.test.images, found, strict=True):
        # 256 to 224 is 73 to 64, which leaves 4 pixels above and 5 below.
        centre = resized_window(image, 73, (0, 0, 128, 128, 0))[:, 4:68, 4:68].round()
        # A value on the border between two levels may be rounded to either.
        torch.testing.assert_close(result, normalised(centre, mean, std), rtol=0, atol=1.01 / 255 / 0.224)


@pytest.mark.usefixtures("in_process")
def test_imagenet_has_torchvisions_transforms_of_the_usual_recipe(imagenet_root: Path) -> None:
    module = prepared(DataConfig(name="imagenet", root=imagenet_root))
    crop, flip, tensor = module.train_dataloader().loader.dataset.transform.transforms
    assert (type(crop), type(flip), type(tensor)) == (v2.RandomResizedCrop, v2.RandomHorizontalFlip, v2.PILToTensor)
    assert (tuple(crop.size), tuple(crop.scale), crop.ratio) == ((224, 224), (0.08, 1.0), pytest.approx((3 / 4, 4 / 3)))
    assert flip.p == 0.5
    resize, centre, tensor = module.test_dataloader().dataset.transform.transforms
    assert (type(resize), type(centre), type(tensor)) == (v2.Resize, v2.CenterCrop, v2.PILToTensor)
    assert (list(resize.size), tuple(centre.size)) == ([256], (224, 224))  # 256 is the shorter side


def test_imagenette_is_cropped_to_train_and_centred_to_test(shared_data: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):  # a part of the mirror, for speed
        source = shared_data / "imagenette" / f"{split}-00000-of-00001.parquet"
        if not source.is_file():
            pytest.skip(f"needs {source}")
        (tmp_path / "imagenette").mkdir(exist_ok=True)
        pq.write_table(pq.ParquetFile(source).read_row_group(0), tmp_path / "imagenette" / source.name)
    module = prepared(DataConfig(name="imagenette", root=tmp_path, image_size=64))
    assert module.images.train.images.shape[1:] == (3, 128, 128)
    assert module.images.test.images.shape[1:] == (3, 64, 64)
    for train in (True, False):
        images, labels = first_batch(module, train=train)
        assert images.shape == (64, 3, 64, 64)
        assert abs(images.mean().item()) < 0.5
        assert 0.8 < images.std().item() < 1.5
        assert 0 <= labels.min() <= labels.max() < 10


def test_missing_imagenette_and_imagenet_say_what_was_looked_for(tmp_path: Path) -> None:
    for name in ("imagenette", "imagenet"):
        with pytest.raises(FileNotFoundError, match=f"{name} was not found: looked for {tmp_path}/{name}"):
            prepared(DataConfig(name=name, root=tmp_path))


def test_the_fingerprint_needs_setup() -> None:
    for name in ("digits", "imagenet"):
        with pytest.raises(RuntimeError, match="call setup"):
            _ = make_data_module(DataConfig(name=name), batch_size=8, seed=1).fingerprint


def test_bad_values_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size=0"):
        make_data_module(DataConfig(name="digits"), batch_size=0, seed=1)
    with pytest.raises(ValueError, match="'mnist' is unknown"):
        dataset_info("mnist")


@pytest.mark.usefixtures("in_process")
def test_imagenet_from_folders(imagenet_root: Path) -> None:
    module = prepared(DataConfig(name="imagenet", root=imagenet_root), batch_size=4)
    assert (module.train_rows, module.test_rows, module.num_classes) == (14, 6, 1000)
    for train in (True, False):
        images, labels = first_batch(module, train=train)
        assert images.shape == (4, 3, 224, 224)
        assert images.dtype == torch.float32
        assert set(labels.tolist()) <= {0, 1}
    before = module.fingerprint
    file = imagenet_root / "imagenet" / "val" / "n01440764" / "1.JPEG"
    file.write_bytes(file.read_bytes()[:100])
    again = prepared(DataConfig(name="imagenet", root=imagenet_root), batch_size=4)
    assert again.fingerprint != before
    with pytest.raises(ValueError, match=r"1\.JPEG"):
        list(again.test_dataloader())


def test_imagenet_in_workers_gives_the_batches_of_one_process(
    imagenet_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    for workers in (0, 1):
        monkeypatch.setattr(imagenet_module, "WORKERS", workers)
        module = prepared(DataConfig(name="imagenet", root=imagenet_root, image_size=16), batch_size=4)
        loader = module.train_dataloader()
        iterator = iter(loader)  # Lightning does so before it sets the epoch
        loader.sampler.set_epoch(5)
        batches.append(list(iterator))
    for (images, labels), (other_images, other_labels) in zip(*batches, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


@pytest.mark.usefixtures("in_process")
def test_imagenet_is_pinned_in_memory_beside_a_gpu_only(imagenet_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = prepared(DataConfig(name="imagenet", root=imagenet_root), batch_size=4)
    for present in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda present=present: present)
        assert module.test_dataloader().pin_memory is present


@pytest.mark.usefixtures("in_process")
def test_imagenet_from_parquet(tmp_path: Path, tiny_images: tuple, write_parquet: Callable) -> None:
    images, labels = tiny_images
    rows = np.arange(20)
    columns = ("image", "label")
    for name, part in {"train-00000-of-00002": rows[:10], "train-00001-of-00002": rows[10:]}.items():
        write_parquet(tmp_path / "imagenet" / "data" / f"{name}.parquet", images[part], part, columns)
    write_parquet(tmp_path / "imagenet" / "data" / "validation-00000-of-00001.parquet", images[:5], labels[:5], columns)
    module = prepared(DataConfig(name="imagenet", root=tmp_path, image_size=32), batch_size=7)
    assert (module.train_rows, module.test_rows) == (20, 5)
    loader = module.train_dataloader()
    orders = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        orders.append(torch.cat([labels for _, labels in loader]).tolist())
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    train, _ = module.splits
    for row in (0, 7, 8, 9, 10, 19):  # at the borders of row groups and files
        image, label = train.read(row)
        assert label == row
        assert np.array_equal(np.asarray(image), images[row])
