"""Train an existing network, without records or checkpoints."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import nn
from torch.optim.swa_utils import update_bn

from gc2l.cells import Cell
from gc2l.data import make_data_module
from gc2l.training.classifier import ImageClassifier


def fine_tune(network: nn.Module, cell: Cell) -> None:
    """Train `network`, in place, on the CPU in float32, as the training, data and seed of `cell` say.

    Raises:
        DivergedError: the loss stopped being finite.
        FileNotFoundError: the images are missing and cannot be downloaded.
    """
    data = make_data_module(cell.data, batch_size=cell.training.batch_size, seed=cell.seed)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=cell.training.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=[LightningEnvironment()],  # one process, under SLURM too
    )
    trainer.fit(ImageClassifier(network.train(), cell.training, seed=cell.seed), data)


def renew_statistics(network: nn.Module, cell: Cell) -> None:
    """Measure the running statistics of every batch norm anew, on the augmented training images of `cell`, in place.

    Raises:
        FileNotFoundError: the images are missing and cannot be downloaded.
    """
    data = make_data_module(cell.data, batch_size=cell.training.batch_size, seed=cell.seed)
    data.prepare_data()
    data.setup("fit")
    batches: Any = data.train_dataloader()  # of either data module
    update_bn((data.on_after_batch_transfer(batch, 0)[0] for batch in batches), network)
