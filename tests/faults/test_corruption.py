"""Damaged files are noticed before they are used, and named; never another number."""

import importlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.damage import damage
from parallel.networks import Case, optimizer
from parallel.ranks import run_on_ranks
from PIL import Image
from records.samples import record
from safetensors.torch import save
from small_run import cell, execution

from gc2l.cells import Cell
from gc2l.data import cifar
from gc2l.data.cifar import load_cifar
from gc2l.data.imagenette import load_imagenette
from gc2l.files import SUMS, read_checked, read_sums, sha256, write_checked, write_sums
from gc2l.parallel import make_mesh, parallelize, save_sharded
from gc2l.records import RunStore, WeightsFolder
from gc2l.records.measurement import save_measurement
from gc2l.records.wire import WireRecord, read_wire
from gc2l.training import ImageClassifier, train
from gc2l.training.checkpoints import newest_readable
from gc2l.training.run import weights_path

RUN = cell(epochs=3)
OTHER = cell(epochs=4)
CELL = Cell(preset="tiny")


def _stop_in_third_epoch(run: Cell, folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        start = ImageClassifier.on_train_epoch_start

        def stop(self: ImageClassifier) -> None:
            if self.current_epoch == 2:
                raise KeyboardInterrupt
            start(self)

        patch.setattr(ImageClassifier, "on_train_epoch_start", stop)
        with pytest.raises(KeyboardInterrupt):
            train(run, execution(folder))
    return folder / "checkpoints" / run.identity


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Runs stopped with the checkpoints of two epochs: the folder of one, and the newest file of another."""
    folder = tmp_path_factory.mktemp("stopped")
    return _stop_in_third_epoch(RUN, folder / "own"), _stop_in_third_epoch(OTHER, folder / "other") / "0002.ckpt"


def test_a_damaged_checkpoint(stopped, trials, tmp_path):
    own, other = stopped
    copy = tmp_path / "checkpoints"

    def trial(rng):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(own, copy)
        damage(copy / "0002.ckpt", rng, other.read_bytes())
        with pytest.warns(UserWarning, match=r"0002\.ckpt cannot be used"):
            found = newest_readable(copy, RUN.identity)
        assert found == copy / "0001.ckpt"

    trials.run("damaged newest checkpoint: named, the one before used", trial, short=10, long=1000)


def test_a_checkpoint_of_another_run_with_its_checksum(stopped, tmp_path):
    own, other = stopped
    shutil.copytree(own, tmp_path / "copy")
    for suffix in (".ckpt", ".sha256"):
        shutil.copy(other.with_suffix(suffix), tmp_path / "copy" / f"0002{suffix}")
    with pytest.warns(UserWarning, match=f"it is of the cell {OTHER.identity}, not {RUN.identity}"):
        assert newest_readable(tmp_path / "copy", RUN.identity).name == "0001.ckpt"


def test_a_run_that_meets_a_damaged_checkpoint(stopped, trials, tmp_path):
    own, other = stopped
    train(RUN, execution(tmp_path / "whole"))
    whole = weights_path(RUN, execution(tmp_path / "whole")).read_bytes()
    again = tmp_path / "again"

    def trial(rng):
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(own, again / "checkpoints" / RUN.identity)
        damage(again / "checkpoints" / RUN.identity / "0002.ckpt", rng, other.read_bytes())
        with pytest.warns(UserWarning, match=r"0002\.ckpt cannot be used"):
            train(RUN, execution(again))
        assert read_checked(weights_path(RUN, execution(again))) == whole

    trials.run("damaged checkpoint, run continued: final weights bit-identical", trial, short=1, long=40)


def _save_two(folder: Path) -> None:
    mesh = make_mesh(2)
    network = parallelize(Case("gc2l", 4).build(), mesh)
    for epoch in (1, 2):
        progress = {"epoch": epoch, "cell": RUN.identity}
        save_sharded(folder / f"{epoch:04d}.ckpt", network, optimizer(network), progress, mesh)


def test_a_damaged_sharded_checkpoint(trials, tmp_path):
    run_on_ranks(_save_two, 2, tmp_path / "own")
    names = sorted(path.name for path in (tmp_path / "own" / "0002.ckpt").iterdir())
    assert names == [".metadata", "SHA256SUMS", "__0_0.distcp", "__1_0.distcp", "progress.pt"]
    copy = tmp_path / "copy"

    def trial(rng):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(tmp_path / "own", copy)
        name = rng.choice(names)
        damage(copy / "0002.ckpt" / name, rng, (copy / "0002.ckpt" / "__0_0.distcp").read_bytes() + b"0")
        if name == SUMS and read_sums(copy / "0002.ckpt") == read_sums(tmp_path / "own" / "0002.ckpt"):
            return  # such as the end of the last line
        with pytest.warns(UserWarning, match=r"0002\.ckpt cannot be used"):
            found = newest_readable(copy, RUN.identity)
        assert found == copy / "0001.ckpt"

    trials.run("damaged file of a sharded checkpoint: the one before used", trial, short=5, long=1000)


def test_a_damaged_record(trials, tmp_path):
    store, other = RunStore(tmp_path / "runs"), replace(CELL, seed=2)
    store.save(other, record(other))

    def trial(rng):
        path = store.save(CELL, record(CELL, errors=rng.randrange(10_000)))
        damage(path, rng, store.path(other).read_bytes())
        with pytest.raises(ValueError, match=path.name):
            store.find(CELL)
        with pytest.raises(ValueError, match=path.name):
            store.all()

    trials.run("damaged record: named, not read", trial, short=10, long=1000)


def test_a_damaged_measurement(trials, tmp_path):
    about = {"commit": "0" * 40, "dirty": False, "versions": {}, "network": "wide_resnet_28_10", "ranks": 2}
    path = tmp_path / "wire.json"

    def trial(rng):
        save_measurement(WireRecord(**about, images=rng.randrange(1, 99), counts=()), path)
        damage(path, rng, b"{}")
        with pytest.raises(ValueError, match=path.name):
            read_wire(path)

    trials.run("damaged measurement: named, not read", trial, short=10, long=1000)


def test_damaged_weights(trials, tmp_path):
    weights = WeightsFolder(tmp_path / "weights")
    trained = tmp_path / "trained.safetensors"

    def trial(rng):
        content = save({"weight": torch.full((2000,), rng.random())})
        path = weights.save(CELL, content)
        how = damage(path, rng, b"other")
        weights.save(replace(CELL, seed=2), content)  # the list is not made anew from what lies there
        assert any(path.name in problem for problem in weights.problems()), how
        weights.sums.unlink()
        write_checked(trained, content)
        damage(trained, rng, b"other")
        with pytest.raises(ValueError, match=trained.name):
            read_checked(trained)

    trials.run("damaged released and final weights: named", trial, short=10, long=1000)


def test_damaged_image_files(trials, tmp_path, monkeypatch):
    helpers = importlib.import_module("data.conftest")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 20)
    write_parquet = helpers.write_parquet.__wrapped__()
    for name, rows in {"train": slice(0, 16), "test": slice(16, 20)}.items():
        write_parquet(
            tmp_path / "parquet" / "cifar10" / f"{name}-00000-of-00001.parquet",
            images[rows], labels[rows], ("img", "label"),
        )  # fmt: skip
    monkeypatch.setattr(cifar, "KNOWN_FINGERPRINTS", {})
    right = load_cifar("cifar10", tmp_path / "parquet").fingerprint
    monkeypatch.setattr(cifar, "KNOWN_FINGERPRINTS", {"cifar10": right})
    helpers.write_pickles.__wrapped__(monkeypatch)(tmp_path / "pickles", "cifar10", images, labels)
    copy = tmp_path / "copy"

    def trial(rng):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(tmp_path / rng.choice(["parquet", "pickles"]), copy)
        path = rng.choice([path for path in sorted(copy.rglob("*")) if path.is_file()])
        how = damage(path, rng, (tmp_path / "pickles" / "cifar-10-batches-py" / "one").read_bytes() + b"0")
        try:
            found = load_cifar("cifar10", copy).fingerprint
        except (ValueError, FileNotFoundError) as error:
            assert str(copy) in str(error)
        else:
            assert found == right, how  # such as a bit of the writer's name in a Parquet footer

    trials.run("damaged CIFAR file, Parquet or pickle: named, or the same images", trial, short=20, long=1000)


def test_damaged_imagenette(trials, tmp_path):
    helpers = importlib.import_module("data.conftest")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 24, 24, 3), dtype=np.uint8), np.array([0, 1, 0, 1, 0, 1])
    parquet, folders, copy = (
        tmp_path / "parquet" / "imagenette",
        tmp_path / "folders" / "imagenette2",
        tmp_path / "copy",
    )
    for name in ("train", "validation"):
        file = parquet / f"{name}-00000-of-00001.parquet"
        helpers.write_parquet.__wrapped__()(file, images, labels, ("image", "label"))
        for row, label in enumerate(labels):
            path = folders / name.removesuffix("idation") / f"n0144076{label}" / f"{row}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[row]).save(path)
    for place in (parquet, folders):
        files = sorted(path for path in place.rglob("*") if path.is_file())
        write_sums(place, {f"./{path.relative_to(place)}": sha256(path) for path in files})

    def trial(rng):
        source = rng.choice([parquet, folders])
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source.parent, copy)
        assert len(load_imagenette(copy).train) == 6
        path = rng.choice(sorted(path for path in copy.rglob("*") if path.suffix in (".parquet", ".JPEG")))
        damage(path, rng, b"other")
        with pytest.raises(ValueError, match=re.escape(str(path))):
            load_imagenette(copy)

    trials.run("damaged Imagenette with its SHA256SUMS: named before it is decoded", trial, short=4, long=1000)


def test_a_class_without_images(trials, tmp_path):
    folder, pixels = tmp_path / "imagenette", Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8))
    classes = [f"n0144076{label}" for label in range(4)]

    def trial(rng):
        shutil.rmtree(folder, ignore_errors=True)
        empty = rng.choice(["train", "val"]), rng.choice(classes)
        for half in ("train", "val"):
            for name in classes:
                (folder / half / name).mkdir(parents=True)
                if (half, name) != empty:
                    pixels.save(folder / half / name / "1.JPEG")
        if gone := rng.random() < 0.5:
            (folder / empty[0] / empty[1]).rmdir()
        with pytest.raises(ValueError if gone else FileNotFoundError, match=empty[1]):
            load_imagenette(tmp_path)

    trials.run("class without images, or missing in one half: named", trial, short=2, long=100)
