"""The ONNX file is read by onnx and run by onnxruntime, apart from the check that the export makes itself."""

import errno
import os

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from gc2l.models import convert
from gc2l.models import export as export_module
from gc2l.models.export import dense_form, export_onnx
from gc2l.nn import make_conv

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter, about its own dependencies


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    convert(network, "gc2l", 4)
    network.train()(torch.randn(4, 3, 9, 9))  # statistics that are not 0 and 1
    return network.eval()


@pytest.mark.parametrize(("form", "convolutions"), [("structured", 4), ("dense", 2)])
def test_the_file_computes_what_the_network_does(network, tmp_path, form, convolutions):
    path = tmp_path / "folder" / "network.onnx"
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert export_onnx(network, path, 9, form) < 1e-5
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    assert (nodes.count("Conv"), nodes.count("BatchNormalization")) == (convolutions, 0)
    images = torch.randn(5, 3, 9, 9)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), network(images).detach(), rtol=1e-4, atol=1e-5)


def test_a_file_that_is_wrong_does_not_stay(network, tmp_path, monkeypatch):
    def other(module):
        dense = dense_form(module)
        dense[3].weight.data *= 1.01
        return dense

    monkeypatch.setattr(export_module, "dense_form", other)
    with pytest.raises(ValueError, match=r"onnxruntime's outputs of .* differ by"):
        export_onnx(network, tmp_path / "network.onnx", 9, "dense")
    assert list(tmp_path.iterdir()) == []


class FullDisk:
    """A program whose save fails half way."""

    def save(self, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Garbled:
    """A program that onnxruntime does not load."""

    def save(self, path):
        path.write_bytes(b"no protobuf")


class TwoFiles:
    """A linear layer with its weights in a second file, as where they are too large for one."""

    def __init__(self, network):
        tensors = [onnx.numpy_helper.from_array(value.numpy(), name) for name, value in network.state_dict().items()]
        given = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, 2, 2])
        found = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 5])
        nodes = [
            onnx.helper.make_node("Flatten", ["images"], ["flat"]),
            onnx.helper.make_node("Gemm", ["flat", "1.weight", "1.bias"], ["logits"], transB=1),
        ]
        graph = onnx.helper.make_graph(nodes, "layer", [given], [found], tensors)
        self.model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)

    def save(self, path):
        onnx.save_model(self.model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)


@pytest.mark.parametrize(("program", "error"), [(FullDisk(), "No space left"), (Garbled(), "INVALID_PROTOBUF")])
@pytest.mark.parametrize("before", [{}, {"network.onnx": b"yesterday's"}])
def test_a_failure_leaves_what_was_there_before(network, tmp_path, monkeypatch, program, error, before):
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: program)
    with pytest.raises(Exception, match=error):
        export_onnx(network, tmp_path / "network.onnx", 9)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_weights_in_a_second_file_come_along(tmp_path, monkeypatch):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).eval()
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: TwoFiles(network))
    path = tmp_path / "network.onnx"
    path.write_bytes(b"yesterday's")
    assert export_onnx(network, path, 2) < 1e-5
    assert sorted(file.name for file in tmp_path.iterdir()) == ["network.onnx", "network.onnx.data"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = torch.randn(2, 3, 2, 2)
    (logits,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), network(images).detach(), rtol=1e-4, atol=1e-5)


def test_a_wrong_suffix_or_mode_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.onnx"):
        export_onnx(network, tmp_path / "network.pt", 9)
    with pytest.raises(ValueError, match="training mode"):
        export_onnx(network.train(), tmp_path / "network.onnx", 9)


def test_another_form_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match="form='Dense'"):
        export_onnx(network, tmp_path / "x.onnx", 16, form="Dense")


def test_a_single_layer_has_a_dense_form():
    layer = make_conv("gc2l", 4, 4, 3, groups=2).eval()
    dense = dense_form(layer)
    assert type(dense) is nn.Conv2d and not dense.training
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(dense(x), layer(x))
