"""The committed networks by name, and what is wrong with a folder of them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from gc2l.cells.cell import configuration_hash
from gc2l.evidence import list_released, load_released
from gc2l.evidence.by_name import find_released
from gc2l.files import checksum_path, write_checked
from gc2l.records import WeightsFolder

RESULTS = Path(__file__).parents[2] / "results"
NAME = "cifar10-wide_resnet_cifar-10x4-gc2l-n16-seed1"


@pytest.fixture
def results(tmp_path):
    """A copy of one released network with its record."""
    (weights,) = (RESULTS / "weights").glob(f"{NAME}-*.safetensors")
    (record,) = (RESULTS / "runs").glob(f"*/{weights.stem}.json")
    for path in (weights, RESULTS / "weights" / "SHA256SUMS", record, checksum_path(record)):
        copy = tmp_path / path.relative_to(RESULTS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path


def test_every_committed_file_is_listed_with_its_records_error(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the clone's folder is found from anywhere
    listed = list_released()
    assert {released.path for released in listed} == set((RESULTS / "weights").glob("*.safetensors"))
    for released in listed:
        (path,) = (RESULTS / "runs").glob(f"*/{released.path.stem}.json")
        test = json.loads(path.read_text())["test"]
        line = str(released)
        assert f"n = {released.cell.model.groups}, " in line
        assert (
            f"{test['error_percent']:.2f} % ({test['interval']['low']:.2f} to {test['interval']['high']:.2f})" in line
        )


def test_a_network_is_loaded_with_its_weights(results):
    network = load_released(NAME, results)
    stored = load_file(find_released(NAME, results).path)
    assert not network.training
    assert all(torch.equal(value, stored[name]) for name, value in network.state_dict().items())
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert find_released(find_released(NAME, results).path.stem, results).name == NAME


def test_a_wrong_name_is_answered_with_near_ones(tmp_path):
    with pytest.raises(ValueError, match=f"did you mean .*'{NAME}'"):
        load_released("wide_resnet-gc2l-n16")
    with pytest.raises(ValueError, match="has no released networks"):
        load_released(NAME, tmp_path)


def test_a_changed_file_is_not_loaded(results):
    path = find_released(NAME, results).path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"has the SHA-256 .* git checkout"):
        load_released(NAME, results)


def test_weights_without_a_record_are_named(results):
    (record,) = results.glob("runs/*/*.json")
    record.unlink()
    with pytest.raises(ValueError, match="has no record"):
        list_released(results)


def test_the_stem_of_the_file_tells_two_of_one_name_apart(results):
    path = find_released(NAME, results).path
    (record,) = results.glob("runs/*/*.json")
    content = json.loads(record.read_text())
    content["configuration"]["training"]["gamma"] = 0.5
    content["identity"] = configuration_hash(content["configuration"])
    twin = path.with_name(f"{NAME}-{content['identity']}.safetensors")
    shutil.copy(path, twin)
    write_checked(record.with_name(f"{twin.stem}.json"), json.dumps(content))
    with pytest.raises(ValueError, match="stands for 2 released networks"):
        find_released(NAME, results)
    assert find_released(twin.stem, results).path == twin


def test_the_committed_files_are_those_of_their_list():
    assert WeightsFolder(RESULTS / "weights").problems() == []
    for path in (RESULTS / "weights").glob("*.safetensors"):
        with safe_open(path, "pt") as content:
            assert content.metadata() is None  # released before there was any: their SHA-256 is published
