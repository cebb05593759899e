import pytest
import torch

from gc2l.training import Execution


def test_open_choices_are_settled():
    resolved = Execution().resolve(training_images=10)
    assert resolved.device == ("cuda" if torch.cuda.is_available() else resolved.device)
    assert resolved.precision in ("float32", "bfloat16")
    assert resolved.compile is False
    assert resolved.channels_last is True
    assert resolved.threads >= 1


def test_only_long_runs_on_matrix_units_are_compiled_unless_asked(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/g++")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert Execution(device="cpu").resolve(1_000_000).compile is False
    assert Execution(device="cpu", compile=True).resolve(1_000_000).compile is True
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert Execution(device="cpu").resolve(1_000_000).compile is True
    assert Execution(device="cpu").resolve(1_000).compile is False
    assert Execution(device="cpu", compile=True).resolve(1_000).compile is True
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert Execution(device="cpu").resolve(1_000_000).compile is False


def test_bfloat16_is_chosen_where_matrix_units_have_it(monkeypatch):
    for has_unit, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has_unit=has_unit: has_unit)
        assert Execution(device="cpu").resolve(1).precision == precision
        assert Execution(device="cpu", precision="float32").resolve(1).precision == "float32"


def test_wrong_values_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"execution.device='cuda' is not available .* cpu"):
        Execution(device="cuda").resolve(1)
    with pytest.raises(ValueError, match=r"execution.threads=0"):
        Execution(threads=0).resolve(1)
