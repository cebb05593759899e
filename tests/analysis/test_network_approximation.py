import hashlib
import importlib
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from analysis.claims_evidence import run
from analysis.figure_runs import approximated
from analysis.samples import CIFAR, PRESETS
from pytest import approx
from safetensors.numpy import save

from gc2l.analysis.claims.network_approximation import (
    approximate,
    by_groups,
    network_errors,
    random_like,
    read_approximations,
    to_csv,
)
from gc2l.files import write_checked
from gc2l.records import RunStore

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RECORD = run(CIFAR, "sc", 1, 3, 100)


def state(seed):
    random = np.random.default_rng(seed)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    return {"stem.weight": draw(16, 3, 3, 3), "unit.weight": draw(32, 16, 3, 3), "linear.weight": draw(10, 32)}


def test_layers_count_by_their_squared_norm():
    heavy, light = np.zeros((4, 4, 1, 1)), np.ones((4, 4, 1, 1))
    heavy[0, 0] = 12  # squared norm 144, on the diagonal; light has 16, half of it off the diagonal
    assert network_errors({"heavy": heavy, "light": light}, 2) == approx((8 / 160, 0))
    # The stem, depthwise and linear weights are no candidates.
    others = {"stem": np.ones((4, 3, 3, 3)), "depthwise": np.ones((4, 1, 3, 3)), "linear": np.ones((4, 4))}
    assert network_errors({"light": light} | others, 2) == approx((0.5, 0))
    with pytest.raises(ValueError, match="no convolution can have groups=2"):
        network_errors(others, 2)


def test_random_weights_keep_shapes_and_norms_and_nothing_else():
    ordered = {"conv": np.kron(np.eye(2), np.ones((8, 8)))[:, :, None, None], "count": np.array(0)}
    random = random_like(ordered, seed=1)
    assert np.linalg.norm(random["conv"]) == approx(np.linalg.norm(ordered["conv"]))
    assert network_errors(ordered, 2) == (0, 0)
    assert network_errors(random, 2)[0] == approx(0.5, abs=0.1)
    assert not np.array_equal(random["conv"], random_like(ordered, seed=2)["conv"])


def test_a_network_is_measured_for_every_n_beside_random_weights():
    column_of_ones = {"conv": np.ones((8, 8, 1, 1))}  # of rank 1 everywhere: GC-2L has it exactly
    two, four = approximate(column_of_ones, (2, 4), RECORD)
    assert (two.groups, two.gc, two.gc2l) == (2, approx(1 / 2), approx(0))
    assert (four.groups, four.gc, four.gc2l) == (4, approx(3 / 4), approx(0))
    assert four.restored_percent == approx(100)
    assert 0 < four.random_restored_percent < 80
    assert (two.preset, two.identity, two.seed) == (RECORD.preset, RECORD.identity, 3)
    assert two.weights_sha256 == ""


def test_the_order_of_the_weights_changes_no_digit():
    weights = state(1)
    backwards = dict(reversed(weights.items()))
    assert list(backwards) != list(weights)
    measure = partial(approximate, groups=(2, 4, 8, 16), record=RECORD)
    assert measure(backwards) == measure(weights)


def test_the_file_gives_back_every_digit(tmp_path):
    measured = tuple(approximate(state(1), (2, 4), RECORD))
    path = tmp_path / "approximation.csv"
    write_checked(path, to_csv(measured))
    assert read_approximations(path) == measured
    assert read_approximations(tmp_path / "missing.csv") == ()
    write_checked(path, "preset,groups\ntiny,two\n")
    with pytest.raises(ValueError, match=r"approximation\.csv holds no approximations"):
        read_approximations(path)


def test_by_groups_and_seed():
    records = [run(CIFAR, "sc", 1, seed, 100) for seed in (1, 2)]
    measured = by_groups(reversed(approximated(records)), records)
    assert {n: [one.seed for one in found] for n, found in measured.items()} == {n: [1, 2] for n in (2, 4, 8, 16)}
    assert by_groups(approximated(records), []) == {}


def test_the_script_measures_what_is_missing_and_keeps_what_has_no_record(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    script = importlib.import_module("approximation")
    monkeypatch.setattr(script, "read_presets", lambda folder: PRESETS)
    store, output, weights = RunStore(tmp_path / "runs"), tmp_path / "approximation.csv", tmp_path / "weights"
    cells = [CIFAR.cell("sc", 1, seed) for seed in (1, 2, 3)]
    for cell in cells:
        store.save(cell, run(CIFAR, "sc", 1, cell.seed, 100))
    command = ["--runs", store.folder, "--weights", weights, "--output", output]
    monkeypatch.setattr(sys, "argv", ["approximation.py", *map(str, command)])
    weights.mkdir()
    write_checked(weights / f"{cells[0].slug}-{cells[0].identity}.safetensors", save(state(1)))
    assert script.main() == 0
    first = read_approximations(output)
    assert [(one.identity, one.groups) for one in first] == [(cells[0].identity, n) for n in (2, 4, 8, 16)]
    assert first == tuple(approximate(state(1), (2, 4, 8, 16), store.find(cells[0])))
    # Other weights of a measured run, as training it again elsewhere leaves them, change nothing.
    write_checked(weights / f"{cells[0].slug}-{cells[0].identity}.safetensors", save(state(3)))
    write_checked(weights / f"{cells[1].slug}-{cells[1].identity}.safetensors", save(state(2)))
    assert script.main() == 0
    assert read_approximations(output)[:4] == first
    assert {one.seed for one in read_approximations(output)} == {1, 2}
    # Of weights with a recorded SHA-256, only those are measured.
    other = hashlib.sha256(save(state(1))).hexdigest()
    store.save(cells[2], store.find(cells[2]).model_copy(update={"weights_sha256": other}))
    third = weights / f"{cells[2].slug}-{cells[2].identity}.safetensors"
    write_checked(third, save(state(2)))
    assert script.main() == 0
    assert f"{cells[2].slug} is not measured: {third} is of another run than the record" in capsys.readouterr().out
    assert {one.seed for one in read_approximations(output)} == {1, 2}
    write_checked(third, save(state(1)))
    assert script.main() == 0
    assert {one.seed for one in read_approximations(output)} == {1, 2, 3}
    # A run that was trained again is measured again, or lost with its weights.
    again = store.find(cells[2]).model_copy(update={"weights_sha256": hashlib.sha256(save(state(4))).hexdigest()})
    store.save(cells[2], again)
    write_checked(third, save(state(4)))
    assert script.main() == 0
    found = [one for one in read_approximations(output) if one.seed == 3]
    assert found == approximate(state(4), (2, 4, 8, 16), again)
    store.save(cells[2], again.model_copy(update={"weights_sha256": other}))
    third.unlink()
    assert script.main() == 0
    assert f"{cells[2].slug} is dropped: " in capsys.readouterr().out
    assert {one.seed for one in read_approximations(output)} == {1, 2}
    store.path(cells[0]).unlink()
    store.path(cells[2]).unlink()
    assert script.main() == 0
    assert {one.seed for one in read_approximations(output)} == {1, 2}
