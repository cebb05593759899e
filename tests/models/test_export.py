"""The ONNX file is read by onnx and run by onnxruntime, apart from the check that the export makes itself."""

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


def test_a_wrong_suffix_or_mode_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.onnx"):
        export_onnx(network, tmp_path / "network.pt", 9)
    with pytest.raises(ValueError, match="training mode"):
        export_onnx(network.train(), tmp_path / "network.onnx", 9)


def test_a_single_layer_has_a_dense_form():
    layer = make_conv("gc2l", 4, 4, 3, groups=2).eval()
    dense = dense_form(layer)
    assert type(dense) is nn.Conv2d and not dense.training
    x = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(dense(x), layer(x))
