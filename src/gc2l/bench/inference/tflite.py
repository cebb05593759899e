"""One convolution as a TensorFlow Lite model, channels last. A filter with fewer channels than the input has groups."""

from typing import Any

import numpy as np
from torch import nn

from gc2l.bench.inference.case import Unsupported


def tflite_model(layer: nn.Conv2d, size: tuple[int, int]) -> bytes:
    """The model for one image (1, H, W, c_in).

    Raises:
        Unsupported: padding that TensorFlow Lite has no name for.
    """
    import flatbuffers  # noqa: PLC0415
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers = 3, [schema.BufferT()]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 6
    model.operatorCodes, model.subgraphs = [code], [graph]

    def tensor(name: str, shape: Any, content: Any = None) -> Any:
        buffer = schema.BufferT()
        if content is not None:
            buffer.data = np.frombuffer(np.ascontiguousarray(content).tobytes(), np.uint8)
        model.buffers.append(buffer)
        made = schema.TensorT()
        made.name, made.shape, made.type = name.encode(), np.array(shape, np.int32), schema.TensorType.FLOAT32
        made.buffer = len(model.buffers) - 1
        return made

    weight = layer.weight.detach().permute(0, 2, 3, 1).numpy()
    bias = np.zeros(layer.out_channels, np.float32) if layer.bias is None else layer.bias.detach().numpy()
    stride, out = layer.stride[0], [-(-side // layer.stride[0]) for side in size]
    graph.name = b"main"
    graph.tensors = [
        tensor("x", (1, *size, layer.in_channels)),
        tensor("w", weight.shape, weight),
        tensor("b", bias.shape, bias),
        tensor("y", (1, *out, layer.out_channels)),
    ]
    graph.inputs, graph.outputs = [0], [3]
    operator, options = schema.OperatorT(), schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME if _same(layer, size) else None
    if options.padding is None:
        raise Unsupported(f"padding={layer.padding} with stride={layer.stride} is neither SAME nor VALID of its terms")
    options.strideH = options.strideW = stride
    options.dilationHFactor = options.dilationWFactor = 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    graph.operators = [operator]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _same(layer: nn.Conv2d, size: tuple[int, int]) -> bool:
    """Whether the padding is SAME: so much that the output has ceil(side / stride) pixels, more of it at the end."""
    for axis in (0, 1):
        k, stride, side = layer.kernel_size[axis], layer.stride[axis], size[axis]
        needed = max((-(-side // stride) - 1) * stride + k - side, 0)
        if layer.padding[axis] != needed // 2 or layer.dilation[axis] != 1:
            return False
    return True
