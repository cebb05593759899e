"""ImageNet, whose images come from a DataLoader of PyTorch, trained by several ranks: every test image counts once."""

import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from parallel.ranks import run_on_ranks
from PIL import Image
from safetensors.torch import load_file
from small_run import cell, execution
from torch.nn import functional as F

from gc2l.cells import Cell, DataConfig, ModelConfig
from gc2l.data import imagenet_module, info, make_data_module
from gc2l.models import build_model
from gc2l.parallel import Job, make_mesh
from gc2l.records import Record
from gc2l.training import ImageClassifier, train
from gc2l.training.run import weights_path

TRAIN, TEST = 10, 7


@pytest.fixture
def run(tmp_path: Path) -> Cell:
    """One epoch on ten images; the batches of three leave one image of the seven to test."""
    generator = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("val", TEST)):
        for number in range(count):
            file = tmp_path / "imagenet" / split / ("n01440764", "n02102040")[number % 2] / f"{number}.JPEG"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(file)
    return replace(
        cell(epochs=1, batch_size=3, learning_rate=0.01),
        model=ModelConfig(network="wide_resnet_imagenet", depth=10, width=0.25, variant="gc2l", groups=4),
        data=DataConfig(name="imagenet", root=tmp_path, image_size=64),
    )


def _set_up() -> None:
    """The set is tiny, and is read by the rank itself."""
    warnings.simplefilter("ignore")  # Lightning's, of a loader without workers
    imagenet_module.WORKERS = 0
    info._DATASETS["imagenet"] = replace(info.dataset_info("imagenet"), num_classes=2, train_rows=TRAIN, test_rows=TEST)


def _train_on_rank(run: Cell, folder: Path, channels: int) -> tuple[Record, int]:
    """The record, and how many test images the ranks have counted."""
    _set_up()
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    os.environ |= {name: str(ranks) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
    os.environ |= {name: str(rank) for name in ("RANK", "LOCAL_RANK")}
    counted, complete = [], ImageClassifier.on_train_epoch_end

    def count(module: ImageClassifier) -> None:
        complete(module)
        counted.append(module._test.rows)

    ImageClassifier.on_train_epoch_end = count
    record = train(run, execution(folder), Job(make_mesh(channels), overlap=True))
    return record, *counted


@pytest.mark.parametrize(("data", "channels"), [(1, 2), (2, 2)])
def test_every_test_image_counts_once(data, channels, run, tmp_path, monkeypatch):
    found = run_on_ranks(_train_on_rank, data * channels, run, tmp_path, channels)
    monkeypatch.setattr(imagenet_module, "WORKERS", 0)
    network = build_model(run.model, num_classes=2)
    network.load_state_dict(load_file(weights_path(run, execution(tmp_path))))
    network.eval()
    module = make_data_module(run.data, batch_size=1, seed=run.seed)
    module.prepare_data()
    module.setup("fit")
    with torch.no_grad():
        batches = [module.on_after_batch_transfer(batch, 0) for batch in module.val_dataloader()]
        logits = torch.cat([network(images) for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    for record, counted in found:
        assert record.status == "finished"
        assert (record.test.rows, counted, len(labels)) == (TEST, TEST, TEST)
        assert record.test.errors == int((logits.argmax(1) != labels).sum())
        assert record.curve[0].test_loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-4)
