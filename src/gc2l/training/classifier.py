"""The Lightning module around a network: the paper's SGD, its loss and errors per epoch, and the stop on divergence."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR

from gc2l.cells import TrainingConfig
from gc2l.parallel import Job, average_buffers, average_gradients, parallelize
from gc2l.records import Epoch
from gc2l.training.graph import CudaGraphs, GraphedStep, Graphs
from gc2l.training.parameter_groups import parameter_groups

Batch = tuple[Tensor, Tensor]  # images (N, 3, H, W), labels (N,)


class DivergedError(RuntimeError):
    """The training loss stopped being finite."""


class ImageClassifier(pl.LightningModule):
    """Train and test an image classifier with cross-entropy.

    Args:
        network: any module from images (N, 3, H, W) to logits (N, classes).
        training: optimiser and schedule.
        seed: with the epoch's number it seeds what the network itself draws, such as dropout.
        compile: send full training batches through torch.compile.
        cuda_graphs: take the steps of full training batches as a CUDA graph; one process only.
        job: the ranks that divide the network's channels, and with more ranks than that the images of each batch.

    Attributes:
        curve: results of the completed epochs, kept in checkpoints.
        test_errors: wrong test images after the last completed epoch.
        wall_seconds: time of the completed epochs, kept in checkpoints.

    Raises:
        RankError: while training, if another rank is lost.
        DivergedError: at most one step after the training loss became infinite or NaN.
    """

    def __init__(
        self,
        network: nn.Module,
        training: TrainingConfig,
        *,
        seed: int,
        compile: bool = False,
        cuda_graphs: bool = False,
        job: Job | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.training_config = training
        self.seed = seed
        self.job = job
        self._divided = False
        self.curve: list[Epoch] = []
        self.test_errors: int | None = None
        self.wall_seconds = 0.0
        self._compiled: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
        if compile:
            self._compiled = torch.compile(self._loss_and_errors, dynamic=False)
        self._make_graphs: Callable[[], Graphs] | None = CudaGraphs if cuda_graphs else None
        self._graphed: GraphedStep | None = None
        self._full = False
        self._last_loss: Tensor | None = None
        self._last_rate = 0.0
        self._train = _Sums()
        self._test = _Sums()
        self._epoch_started = 0.0
        self._training_seconds = 0.0

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, 3, H, W)."""
        return self.network(images)

    def _loss_and_errors(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(images).float()
        return F.cross_entropy(logits, labels), (logits.argmax(dim=1) != labels).sum()

    def configure_model(self) -> None:
        """Divide the network between the ranks of the job, once."""
        if self.job is not None and not self._divided:
            parallelize(self.network, self.job.mesh, overlap=self.job.overlap)
            self._divided = True

    def configure_optimizers(self) -> Any:
        """SGD with momentum and the step or one-cycle schedule."""
        config = self.training_config
        optimizer = torch.optim.SGD(
            parameter_groups(self.network, config),
            momentum=config.momentum,
            fused=True,
        )
        if config.schedule == "step":
            steps = MultiStepLR(optimizer, milestones=list(config.milestones), gamma=config.gamma)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": steps, "interval": "epoch"}}
        cycle = OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=config.warmup_fraction,
            cycle_momentum=False,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Start the clock, and make the epoch's random numbers depend on (seed, epoch) alone."""
        torch.manual_seed(1_000_003 * (self.current_epoch + 1) + self.seed)
        self._train = _Sums()
        self._epoch_started = time.perf_counter()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Stop if the step before diverged; checking one step late lets the device run ahead of the host."""
        self._check_finite()
        # Lightning moves the schedule on before it says that an epoch has ended.
        self._last_rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        # Another batch size would compile and be captured a second time, for one batch an epoch.
        self._full = len(batch[1]) == self.training_config.batch_size

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        images, labels = self._own_share(batch)
        step: Callable[[Tensor, Tensor], tuple[Tensor, ...]] = self._loss_and_errors
        if self._full and self._compiled is not None:
            step = self._compiled
        if self._step_is_whole:
            if self._graphed is None:
                assert self._make_graphs is not None
                self._graphed = GraphedStep(step, self.trainer.optimizers[0], self._make_graphs())
            step = self._graphed
        loss, errors = step(images, labels)
        self._train.add(loss.detach(), errors, len(labels))
        if self.job is not None:
            # The mean of the data ranks' gradients is to be that of the whole batch, also where shares are uneven.
            loss = loss * (len(labels) * self.job.data_ranks / len(batch[1]))
            self._last_loss = self.job.sum_over_data(loss.detach(), "loss")
        else:
            self._last_loss = loss.detach()
        return loss

    @property
    def captured(self) -> bool:
        """Whether the step was captured as a CUDA graph."""
        return self._graphed is not None and self._graphed.captured

    # A captured step is whole: what Lightning does between loss and next batch has then been done.

    @property
    def _step_is_whole(self) -> bool:
        return self._full and self._make_graphs is not None

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Forget the gradients, if `training_step` has not."""
        if not self._step_is_whole:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradients, if `training_step` has not."""
        if not self._step_is_whole:
            super().backward(loss, *args, **kwargs)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Call `optimizer_closure`, which calls `training_step`; change the weights, if that has not."""
        if not self._step_is_whole:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        elif optimizer_closure is not None:
            optimizer_closure()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Average the gradients over the data ranks."""
        if self.job is not None:
            average_gradients(self.network, self.job.mesh)

    def on_validation_epoch_start(self) -> None:
        """The training pass is over: stop its clock once the device has finished."""
        self._check_finite()
        self._training_seconds = time.perf_counter() - self._epoch_started
        if self.job is not None:
            average_buffers(self.network, self.job.mesh)
        self._test = _Sums()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and errors of one batch of test images."""
        images, labels = self._own_share(batch)
        if not len(labels):
            return
        loss, errors = self._loss_and_errors(images, labels)
        self._test.add(loss, errors, len(labels))

    def on_train_epoch_end(self) -> None:
        """Complete the epoch: a point on the curves, which the loggers and the checkpoint receive."""
        if self.job is not None:
            self._train.sum_over(self.job, self.device)
            self._test.sum_over(self.job, self.device)
        train_loss, train_errors = self._train.mean_loss(), self._train.errors()
        test_loss, test_errors = self._test.mean_loss(), self._test.errors()
        if not math.isfinite(test_loss):
            raise DivergedError(f"the test loss became {test_loss} after epoch {self.current_epoch + 1}")
        result = Epoch(
            epoch=self.current_epoch + 1,
            learning_rate=self._last_rate,
            train_loss=train_loss,
            train_error_percent=100 * train_errors / self._train.rows,
            test_loss=test_loss,
            test_error_percent=100 * test_errors / self._test.rows,
            seconds=self._training_seconds,
        )
        self.curve.append(result)
        self.test_errors = test_errors
        self.wall_seconds += time.perf_counter() - self._epoch_started
        values = result.model_dump(exclude={"epoch"})
        for logger in self.loggers:
            # Here, as Lightning logs only after the checkpoint: a run stopped in between would never log this epoch.
            logger.log_metrics({**values, "epoch": self.current_epoch}, step=self.trainer.fit_loop.total_batch_idx)
            logger.save()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curve with the weights, so that a resumed run has one curve."""
        checkpoint["curve"] = [point.model_dump() for point in self.curve]
        checkpoint["test_errors"] = self.test_errors
        checkpoint["wall_seconds"] = self.wall_seconds

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue the curve of the checkpoint."""
        self.curve = [Epoch(**point) for point in checkpoint["curve"]]
        self.test_errors = checkpoint["test_errors"]
        self.wall_seconds = checkpoint["wall_seconds"]

    def _own_share(self, batch: Batch) -> Batch:
        if self.job is None:
            return batch
        images, labels = batch
        return self.job.share(images), self.job.share(labels)

    def _check_finite(self) -> None:
        if self._last_loss is not None and not torch.isfinite(self._last_loss):
            raise DivergedError(
                f"the training loss became {self._last_loss.item()} in epoch {self.current_epoch + 1}, at most one "
                f"step before step {self.global_step}, learning rate {self._last_rate:.3g}"
            )


class _Sums:
    """Sums of losses and errors that stay on the device until they are asked for."""

    def __init__(self) -> None:
        self.rows = 0
        self._loss: Tensor | float = 0.0
        self._errors: Tensor | int = 0

    def add(self, mean_loss: Tensor, errors: Tensor, rows: int) -> None:
        self.rows += rows
        self._loss = self._loss + mean_loss * rows
        self._errors = self._errors + errors

    def sum_over(self, job: Job, device: torch.device) -> None:
        """Add the sums of the other data ranks."""
        own = torch.tensor([self.rows, float(self._loss), int(self._errors)], dtype=torch.float64, device=device)
        rows, loss, errors = job.sum_over_data(own, "sums of the epoch").tolist()
        self.rows, self._loss, self._errors = int(rows), loss, int(errors)

    def mean_loss(self) -> float:
        return float(self._loss) / self.rows

    def errors(self) -> int:
        return int(self._errors)
