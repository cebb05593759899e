"""The libraries, each with the package it needs, its precision and how it is made ready; absent ones are left out."""

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from gc2l.analysis.inference import LITERT, OURS, PUBLISHED, PYTORCH, TVM_DEFAULT
from gc2l.bench.inference.case import Array, Case, Runner, Unsupported
from gc2l.bench.inference.tflite import tflite_model
from gc2l.edge import compile_for_inference


@dataclass(frozen=True, kw_only=True)
class Library:
    """How a library runs a case.

    Attributes:
        package: its name on the package index.
        module: that is imported.
        precision: in which it is told, or known, to compute.
        prepare: from a case and a number of threads to its runner; raises `Unsupported` or the library's own errors.
        slow: whether making it ready takes seconds for each case.
    """

    package: str
    module: str
    precision: str
    prepare: Callable[[Case, int], Runner]
    slow: bool = False


def _ours(case: Case, threads: int) -> Runner:
    torch.set_num_threads(threads)
    return _torch_runner(compile_for_inference(case.module), case.x)


def _pytorch(case: Case, threads: int) -> Runner:
    torch.set_num_threads(threads)
    return _torch_runner(case.module, case.x)


def _channels_last(case: Case, threads: int) -> Runner:
    torch.set_num_threads(threads)
    module = copy.deepcopy(case.module).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _torch_runner(module, case.x.to(memory_format=torch.channels_last))


def _torch_compile(case: Case, threads: int) -> Runner:
    torch.set_num_threads(threads)
    torch._dynamo.reset()
    return _torch_runner(torch.compile(case.module), case.x)


def _torch_runner(module: Any, x: torch.Tensor) -> Runner:
    return Runner(lambda: module(x), lambda y: y.contiguous().numpy())


def _published(case: Case, threads: int) -> Runner:
    from gc2l.edge.describe import describe  # noqa: PLC0415
    from gc2l.edge.tvm_kernel import TvmKernel, set_threads  # noqa: PLC0415

    described = describe(case.layer, also_standard=True)
    if isinstance(described, str):
        raise Unsupported(described)
    set_threads(threads)
    kernel = TvmKernel(described, "pack")
    return Runner(lambda: kernel(case.x), lambda y: y.numpy())


def _tvm_default(case: Case, threads: int) -> Runner:
    """TOPI's computation as the compiler lowers it without a schedule; 0.27 has no others for this processor."""
    from gc2l.edge.tvm_kernel import compile_unscheduled, set_threads  # noqa: PLC0415

    set_threads(threads)
    layer = case.layer
    function = compile_unscheduled(layer, tuple(case.x.shape))
    weight, y = layer.weight.detach(), torch.empty(case.expected.shape)
    bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()

    def run() -> torch.Tensor:
        function(case.x, weight, bias, y)
        return y

    return Runner(run, lambda y: y.numpy())


def _onnxruntime(case: Case, threads: int) -> Runner:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads that spin would take the processor from the library that is timed next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads == 1 else "1")
    session = onnxruntime.InferenceSession(case.onnx, options, providers=["CPUExecutionProvider"])
    given = {"x": case.x.numpy()}
    return Runner(lambda: session.run(None, given)[0], np.asarray)


def _openvino(case: Case, threads: int) -> Runner:
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(case.onnx), "CPU", settings).create_infer_request()
    given = openvino.Tensor(case.x.numpy(), shared_memory=True)
    return Runner(lambda: request.infer({0: given}, share_inputs=True, share_outputs=True)[0], np.asarray)


def _litert(case: Case, threads: int) -> Runner:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    model = tflite_model(case.layer, (case.x.shape[2], case.x.shape[3]))
    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], case.x.permute(0, 2, 3, 1).contiguous().numpy())
    place = interpreter.get_output_details()[0]["index"]
    return Runner(interpreter.invoke, lambda _: interpreter.get_tensor(place).transpose(0, 3, 1, 2))


def _ncnn(case: Case, threads: int) -> Runner:
    import ncnn  # noqa: PLC0415

    layer, net = case.layer, ncnn.Net()
    net.opt.num_threads = threads
    for name in ("use_bf16_storage", "use_fp16_storage", "use_fp16_arithmetic", "use_fp16_packed"):
        setattr(net.opt, name, False)
    kind, group = ("Convolution", "") if layer.groups == 1 else ("ConvolutionDepthWise", f" 7={layer.groups}")
    values = (layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0])
    numbers = " ".join(f"{key}={value}" for key, value in zip((0, 1, 3, 4), values, strict=True))
    bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
    line = f"{kind} y 1 1 x y {numbers} 5=1 6={layer.weight.numel()}{group}"
    with tempfile.TemporaryDirectory() as folder:
        param, weights = Path(folder, "net.param"), Path(folder, "net.bin")
        param.write_text(f"7767517\n2 2\nInput x 0 1 x\n{line}\n", encoding="ascii")
        weights.write_bytes(bytes(4) + layer.weight.detach().numpy().tobytes() + bias.numpy().tobytes())
        if net.load_param(str(param)) or net.load_model(str(weights)):
            raise Unsupported("it does not load the model")
    x = ncnn.Mat(case.x[0].numpy()).clone()

    def run() -> Any:
        extractor = net.create_extractor()
        extractor.input("x", x)
        return extractor.extract("y")[1]

    return Runner(run, np.array)


def _mnn(case: Case, threads: int) -> Runner:
    # The converter's Python wrapper installs packages when it is imported; the extension module does not.
    import _tools  # noqa: PLC0415
    import MNN.expr  # noqa: PLC0415
    import MNN.nn  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        source, model = Path(folder, "net.onnx"), Path(folder, "net.mnn")
        source.write_bytes(case.onnx)
        _tools.mnnconvert(["", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(model)])
        if not model.exists():
            raise Unsupported("it does not convert the model")
        runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": threads, "precision": "high"},))
        net = MNN.nn.load_module_from_file(str(model), ["x"], ["y"], runtime_manager=runtime)
    x = MNN.expr.placeholder(list(case.x.shape), MNN.expr.NCHW)
    x.write(case.x.numpy())

    def run() -> Any:
        y = MNN.expr.convert(net.forward(x), MNN.expr.NCHW)
        y.read()  # it computes when it is read
        return y

    return Runner(run, lambda y: np.array(y.read()))


def _executorch(case: Case, threads: int) -> Runner:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner  # noqa: PLC0415
    from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool  # noqa: PLC0415
    from executorch.runtime import Runtime  # noqa: PLC0415

    exported = torch.export.export(case.module, (case.x,))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    _unsafe_reset_threadpool(threads)
    buffer = lowered.buffer
    program = Runtime.get().load_program(buffer)
    method = program.load_method("forward")
    if method is None:
        raise Unsupported("it does not load the program")
    kept = buffer, program, method  # the method reads the memory of the others

    def run() -> Any:
        return kept[-1].execute([case.x])[0]

    return Runner(run, lambda y: y.numpy())


LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        OURS: Library(package="gc2l", module="gc2l", precision="float32", prepare=_ours),
        PUBLISHED: Library(package="apache-tvm", module="tvm", precision="float32", prepare=_published),
        TVM_DEFAULT: Library(package="apache-tvm", module="tvm", precision="float32", prepare=_tvm_default),
        PYTORCH: Library(package="torch", module="torch", precision="float32", prepare=_pytorch),
        "PyTorch NHWC": Library(package="torch", module="torch", precision="float32", prepare=_channels_last),
        "torch.compile": Library(
            package="torch", module="torch", precision="float32", prepare=_torch_compile, slow=True
        ),
        "ONNX Runtime": Library(package="onnxruntime", module="onnxruntime", precision="float32", prepare=_onnxruntime),
        "OpenVINO": Library(
            package="openvino", module="openvino", precision="INFERENCE_PRECISION_HINT=f32", prepare=_openvino
        ),
        LITERT: Library(package="ai-edge-litert", module="ai_edge_litert", precision="float32", prepare=_litert),
        "ncnn": Library(package="ncnn", module="ncnn", precision="float32, no bf16 or fp16 storage", prepare=_ncnn),
        "MNN": Library(package="MNN", module="MNN", precision="precision=high", prepare=_mnn),
        "ExecuTorch": Library(
            package="executorch", module="executorch", precision="float32", prepare=_executorch, slow=True
        ),
    }
)


def installed(names: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Of the libraries in `names` those that can be imported, with version and precision, and why others cannot.

    Raises:
        ValueError: an unknown name.
    """
    found, absent = {}, {}
    for name in names:
        if name not in LIBRARIES:
            raise ValueError(f"library={name!r} is unknown; there are {', '.join(map(repr, LIBRARIES))}")
        library = LIBRARIES[name]
        try:
            if find_spec(library.module) is None:
                raise PackageNotFoundError(library.package)
            found[name] = f"{library.package} {version(library.package)}, {library.precision}"
        except PackageNotFoundError:
            absent[name] = f"not installed: pip install {library.package}"
    return found, absent


def output_of(runner: Runner) -> Array:
    """What the runner computes."""
    return np.asarray(runner.output(runner.run()))
