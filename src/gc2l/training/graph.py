"""A whole training step as one CUDA graph: the processor launches it once in place of each of its kernels.

A graph repeats what was recorded, on the same memory. So every batch has to have one shape, and what changes from step
to step lies in tensors that are filled before the graph runs: images, labels and the learning rates. Random numbers of
data are drawn outside; those that a network draws come from PyTorch's generator, which graphs know.

None of this has run on a GPU yet. The tests compare it with the plain loop, with a recorder of operations on a CPU.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

WARM_UP_STEPS = 3
"""Steps before the capture: they make the optimizer's state, choose algorithms and load kernels. They count."""

Step = Callable[[], tuple[Tensor, ...]]


class Graphs(Protocol):
    """What can run a step aside, and record one."""

    def aside(self, step: Step) -> tuple[Tensor, ...]:
        """Run `step` where it is captured later."""
        ...

    def capture(self, step: Step) -> Step:
        """Record `step` without running it; what is returned runs it, and returns the same tensors each time."""
        ...


class CudaGraphs:
    """CUDA graphs, on a stream of their own, as https://docs.pytorch.org/docs/stable/notes/cuda.html asks for."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    def aside(self, step: Step) -> tuple[Tensor, ...]:
        """Run `step` on the stream."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            results = step()
        torch.cuda.current_stream().wait_stream(self._stream)
        return results

    def capture(self, step: Step) -> Step:
        """Record `step`; other threads, such as those that load images, may go on meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            results = step()

        def replay() -> tuple[Tensor, ...]:
            graph.replay()
            return results

        return replay


class GraphedStep:
    """A training step: gradients of a loss, and the optimizer's step. Captured after `WARM_UP_STEPS`, then replayed.

    Where it cannot be captured, one line in the log says so, and every step is launched kernel by kernel.

    Args:
        forward: from images (N, 3, H, W) and labels (N,) to the loss and whatever else is to be returned. Automatic
            mixed precision must be entered in each step, because it caches the weights that it casts.
        optimizer: SGD with fused=True, which reads its learning rate from a tensor. Schedulers and checkpoints see
            numbers in its groups; a captured step has them rounded to float32.
        graphs: records.
    """

    def __init__(
        self, forward: Callable[[Tensor, Tensor], tuple[Tensor, ...]], optimizer: Optimizer, graphs: Graphs
    ) -> None:
        self._forward = forward
        self._optimizer = optimizer
        self._graphs: Graphs | None = graphs
        self._steps = 0
        self._inputs: tuple[Tensor, ...] = ()
        self._rates: list[Tensor] = []
        self._replay: Step | None = None

    @property
    def captured(self) -> bool:
        """Whether steps are replayed."""
        return self._replay is not None

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """One step with batches of always one shape.

        Returns:
            What `forward` returns, detached; the next step may overwrite it.
        """
        graphs = self._graphs
        if graphs is None:
            return self._step(images, labels)
        self._steps += 1
        if self._steps <= WARM_UP_STEPS:
            return graphs.aside(lambda: self._step(images, labels))
        if self._replay is None and not self._capture(graphs, images, labels):
            return self._step(images, labels)
        assert self._replay is not None
        for own, value in zip(self._inputs, (images, labels), strict=True):
            own.copy_(value)
        for rate, group in zip(self._rates, self._optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        return self._replay()

    def _step(self, images: Tensor, labels: Tensor, rates: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        self._optimizer.zero_grad(set_to_none=True)
        loss, *others = self._forward(images, labels)
        with torch.autocast(images.device.type, enabled=False):
            loss.backward()
        with _rates_of(self._optimizer, rates):
            self._optimizer.step()
        return loss.detach(), *others

    def _capture(self, graphs: Graphs, images: Tensor, labels: Tensor) -> bool:
        inputs = images, labels = images.clone(), labels.clone()
        rates = [torch.zeros((), device=images.device) for _ in self._optimizer.param_groups]
        self._optimizer.zero_grad(set_to_none=True)  # so that the gradients become memory of the graph
        try:
            self._replay = graphs.capture(lambda: self._step(images, labels, rates))
        except RuntimeError as error:
            logging.getLogger(__name__).warning(
                "the training step is not captured as a CUDA graph: %s", str(error).partition("\n")[0]
            )
            self._graphs = None
            return False
        self._inputs, self._rates = inputs, rates
        return True


@contextmanager
def _rates_of(optimizer: Optimizer, rates: Sequence[Tensor]) -> Iterator[None]:
    """Let `optimizer` read its learning rates from tensors, if there are any."""
    numbers = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        group["lr"] = rate
    try:
        yield
    finally:
        for group, number in zip(optimizer.param_groups, numbers, strict=True):
            group["lr"] = number
