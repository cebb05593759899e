"""`python -m gc2l`."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from gc2l.campaign import commands
from gc2l.campaign.commands import Export
from gc2l.evidence import list_released
from gc2l.models import convert
from gc2l.models.torchvision_import import torchvision

RELEASED = "cifar10-wide_resnet_cifar-10x4-gc2l-n16-seed1"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gc2l", *map(str, arguments)])
    return commands.main()


def test_released_networks_are_listed(monkeypatch, capsys):
    assert run(monkeypatch, "released") == 0
    assert capsys.readouterr().out.splitlines() == [str(released) for released in list_released()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter, about its own dependencies
def test_a_torchvision_network_with_its_weights_is_exported(monkeypatch, capsys, tmp_path):
    network = torchvision.models.get_model("squeezenet1_1", weights=None, num_classes=3)
    convert(network, "gc2l", 4)
    seen = {}

    def export_onnx(exported, path, image_size, form):
        seen.update(state=exported.state_dict(), size=image_size, form=form, training=exported.training)
        path.write_bytes(b"")
        return 0.0

    monkeypatch.setattr(commands, "export_onnx", export_onnx)
    for name, save in (("state.pt", torch.save), ("state.safetensors", save_file)):
        save(network.state_dict(), tmp_path / name)
        given = ["--network=squeezenet1_1", "--variant=gc2l", "--groups=4", "--classes=3", "--form=dense"]
        arguments = ["export", tmp_path / "s.onnx", *given, f"--weights={tmp_path / name}"]
        assert run(monkeypatch, *arguments) == 0
        # The stem has 3 input channels, the last convolution 3 outputs.
        assert "24 of 26 convolutions are gc2l with 4 groups" in capsys.readouterr().out
        assert (seen["size"], seen["form"], seen["training"]) == (224, "dense", False)
        assert all(torch.equal(value, seen["state"][key]) for key, value in network.state_dict().items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_released_network_is_exported_and_the_difference_printed(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "export", tmp_path / "r.onnx", f"--network={RELEASED}") == 0
    printed = capsys.readouterr().out
    assert "structured; largest difference in onnxruntime " in printed
    assert float(printed.split()[-1]) < 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "resnet19"}, "did you mean 'resnet18'"),
        ({"network": "nothing like it"}, f"did you mean .*'{RELEASED}'"),
        ({"network": "resnet18", "groups": 4}, "give both"),
        ({"network": "resnet18", "variant": "gc21", "groups": 4}, "variant='gc21' is unknown"),
        ({"network": RELEASED, "groups": 4}, "leave out --groups 4"),
    ],
)
def test_a_wrong_argument_names_what_is_right(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        Export(path=tmp_path / "x.onnx", **arguments)()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("other.pt", lambda path: torch.save({"state_dict": {}}, path)),
        ("whole.pt", lambda path: torch.save(torch.nn.ReLU(), path)),
        ("damaged.pt", lambda path: path.write_bytes(b"no archive")),
        ("damaged.safetensors", lambda path: path.write_bytes(b"no tensors")),
    ],
)
def test_wrong_weights_are_named(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=rf"weights=.*{name} does not hold the state of this network"):
        Export(path=tmp_path / "x.onnx", network="squeezenet1_1", weights=path)()
    assert not (tmp_path / "x.onnx").exists()


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights=.*none\.pt is missing"):
        Export(path=tmp_path / "x.onnx", network="squeezenet1_1", weights=tmp_path / "none.pt")()
