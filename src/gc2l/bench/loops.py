"""(c) The training loop of gc2l against a plain PyTorch loop, and against the same step without Lightning."""

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from gc2l.bench.device import CPU, Device
from gc2l.bench.steps import make_network
from gc2l.bench.timing import compare
from gc2l.cells import DataConfig, TrainingConfig
from gc2l.data import dataset_info, make_data_module
from gc2l.data.module import InMemoryDataModule
from gc2l.models.torchvision_import import torchvision
from gc2l.training import ImageClassifier

PLAIN, BARE, SUITE = "plain PyTorch loop", "gc2l without Lightning", "gc2l"


def measure_loops(
    *,
    network: str,
    label: str,
    groups: int,
    root: Path,
    batches: int,
    batch_size: int,
    rounds: int,
    compile: bool,
    device: Device = CPU,
) -> list[dict[str, Any]]:
    """Time passes over `batches` batches of CIFAR-10, the three loops alternately, relative to that of gc2l.

    The plain loop is float32, eager, in the usual memory format, with torchvision's transforms in a `DataLoader`, and
    with PyTorch's own convolutions. That of gc2l is Lightning's trainer with the module, data and settings of gc2l;
    without Lightning, the same step and data in a `for` loop.

    Raises:
        FileNotFoundError: CIFAR-10 is not there.
    """
    config = TrainingConfig(batch_size=batch_size, epochs=rounds + 1)
    data = make_data_module(DataConfig(name="cifar10", root=root), batch_size=batch_size, seed=1, channels_last=True)
    if not isinstance(data, InMemoryDataModule):
        raise TypeError("CIFAR-10 is held in memory")
    data.prepare_data()
    data.setup("fit")

    def classifier() -> ImageClassifier:
        model = make_network(network, label, groups).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return ImageClassifier(model, config, seed=1, compile=compile, cuda_graphs=device.graphs is not None)

    framework = {"GC": "nn.Conv2d(groups=n)", "GC-2L": "GC-2L separate"}.get(label, label)
    others = {
        PLAIN: _plain(make_network(network, framework, groups).to(device.name), data, batches, batch_size, device),
        BARE: _bare(classifier().to(device.name), data, batches, config, device),
    }
    alternation = _Alternate(others, device)
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.name, device.name),
        devices=1,
        precision="bf16-mixed" if device.precision == "bfloat16" else "32-true",
        max_epochs=config.epochs,
        limit_train_batches=batches,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        callbacks=[alternation],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],
    )
    module = classifier()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers, which these loaders do not have
        trainer.fit(module, data)
    # The first round warms up.
    seconds = {SUITE: [point.seconds for point in module.curve][1:]}
    seconds |= {name: times[1:] for name, times in alternation.seconds.items()}
    common = {"network": network, "variant": label, "groups": groups, "images": batch_size, "compile": compile}
    return [
        {**common, "candidate": name, **asdict(ratio), "images_per_second": batches * batch_size / ratio.seconds}
        for name, ratio in compare(seconds, SUITE).items()
    ]


class _Alternate(pl.Callback):
    """Runs the other loops after every epoch of the trainer."""

    def __init__(self, others: dict[str, Callable[[], object]], device: Device) -> None:
        self.others = others
        self.device = device
        self.seconds: dict[str, list[float]] = {name: [] for name in others}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name, run in self.others.items():
            started = time.perf_counter()
            run()
            self.device.finish()
            self.seconds[name].append(time.perf_counter() - started)


class _Pictures(Dataset):
    """CIFAR-10 through torchvision's transforms, one image at a time."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        info = dataset_info("cifar10")
        transforms = torchvision.transforms
        self.images = images.permute(0, 2, 3, 1).numpy()
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(info.mean, info.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def _plain(
    network: torch.nn.Module, data: InMemoryDataModule, batches: int, batch_size: int, device: Device
) -> Callable[[], object]:
    train, rows = data.images.train, batches * batch_size
    loader = DataLoader(_Pictures(train.images[:rows], train.labels[:rows]), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def run() -> None:
        network.train()
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images.to(device.name)), labels.to(device.name))
            loss.backward()
            optimizer.step()
            loss.item()  # what a script prints

    return run


def _bare(
    module: ImageClassifier, data: InMemoryDataModule, batches: int, config: TrainingConfig, device: Device
) -> Callable[[], object]:
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.01, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    )
    step = module._compiled or module._loss_and_errors

    def run() -> None:
        module.train()
        for batch in islice(data.train_dataloader(), batches):
            images, labels = data.on_after_batch_transfer(tuple(part.to(device.name) for part in batch), 0)
            optimizer.zero_grad()
            with device.autocast():
                loss, _ = step(images, labels)
            loss.backward()
            optimizer.step()

    return run
