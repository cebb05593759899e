"""What is timed: a module with its input, and the form in which a library runs it."""

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray[Any, Any]


class Runner(NamedTuple):
    """A library ready to run: `run` is timed, `output` gives what the last run computed in NCHW."""

    run: Callable[[], Any]
    output: Callable[[Any], Array]


class Unsupported(Exception):
    """A library does not take this case, in its own words or ours."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One layer or network in evaluation mode, with one image; attributes as in `InferenceTime`."""

    name: str
    network: str
    kernel: int
    variant: str
    groups: int
    module: nn.Module
    x: Tensor

    @property
    def layer(self) -> nn.Conv2d:
        """The module where it is one plain convolution.

        Raises:
            Unsupported: it is not.
        """
        if not isinstance(self.module, nn.Conv2d):
            raise Unsupported("only single convolutions are given to it here")
        return self.module

    @cached_property
    def expected(self) -> Array:
        """The output in float64."""
        with torch.no_grad():
            return copy.deepcopy(self.module).double()(self.x.double()).numpy()

    @cached_property
    def onnx(self) -> bytes:
        """The module as an ONNX model with the input "x" and the output "y"."""
        if isinstance(self.module, nn.Conv2d):
            return _onnx_convolution(self.module, self.x, self.expected.shape)
        written: Any = io.BytesIO()
        arguments: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamo": True, "verbose": False}
        torch.onnx.export(self.module, (self.x,), written, external_data=False, **arguments)
        return written.getvalue()

    def error(self, output: Array) -> float:
        """Largest difference from float64, over the largest value."""
        expected = self.expected
        difference = np.abs(output.reshape(expected.shape).astype(np.float64) - expected)
        return float(np.nan_to_num(difference, nan=np.inf).max() / np.abs(expected).max())


def _onnx_convolution(layer: nn.Conv2d, x: Tensor, out: tuple[int, ...]) -> bytes:
    """One node; the exporter takes seconds for it."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    assert isinstance(layer.padding, tuple)
    settings: dict[str, Any] = {
        "kernel_shape": layer.kernel_size,
        "strides": layer.stride,
        "pads": (*layer.padding, *layer.padding),
        "dilations": layer.dilation,
        "group": layer.groups,
    }
    tensors = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    node = helper.make_node("Conv", ["x", *tensors], ["y"], **settings)
    shapes = [("x", x.shape), ("y", out)]
    given, found = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))] for name, shape in shapes)
    weights = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph([node], "layer", given, found, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
