"""How far FLGC's assignment of channels to groups moves while it trains."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from gc2l.nn import LearnableGroupConv2d
from gc2l.records import Assignment


class AssignmentMonitor(pl.Callback):
    """Counts after each epoch the channels that have changed their group.

    Attributes:
        results: one for each completed epoch, kept in checkpoints; none where no layer learns its groups, or ranks
            divide its channels.
    """

    def __init__(self) -> None:
        self._layers: list[LearnableGroupConv2d] = []
        self._before: list[Tensor] = []
        self._gradients = (0.0, 0.0)
        self.results: list[Assignment] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember the groups."""
        self._layers = [
            layer
            for layer in pl_module.modules()
            if isinstance(layer, LearnableGroupConv2d) and layer.assignment == "learned"
        ]
        self._before = self._groups()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Measure the gradients of the epoch's last step, before the test forgets them."""
        if self._layers and trainer.is_last_batch:
            logits = (one for layer in self._layers for one in (layer.input_logits, layer.output_logits))
            self._gradients = _gradient_norm(logits), _gradient_norm(layer.weight for layer in self._layers)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the groups."""
        if not self._layers:
            return
        pairs = list(zip(self._before, self._groups(), strict=True))
        logits, weights = self._gradients
        self.results.append(
            Assignment(
                epoch=trainer.current_epoch + 1,
                channels=sum(len(before) for before, _ in pairs),
                moved=sum(int((before != after).sum()) for before, after in pairs),
                logits_gradient=logits,
                weights_gradient=weights,
            )
        )

    def state_dict(self) -> dict[str, Any]:
        """The results so far."""
        return {"results": [result.model_dump() for result in self.results]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the results of the checkpoint."""
        self.results = [Assignment(**result) for result in state_dict["results"]]

    def _groups(self) -> list[Tensor]:
        return [one.argmax(dim=1) for layer in self._layers for one in (layer.input_logits, layer.output_logits)]


def _gradient_norm(tensors: Iterable[Tensor]) -> float:
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0
