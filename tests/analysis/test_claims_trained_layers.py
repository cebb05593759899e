import numpy as np
import pytest
from analysis.claims_evidence import column, evidence, only, run
from pytest import approx
from safetensors.numpy import save_file

from gc2l.analysis.claims import Verdict
from gc2l.analysis.claims.trained_layers import network_errors, random_like

CIFAR = column()


def state(seed):
    random = np.random.default_rng(seed)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    return {"stem.weight": draw(16, 3, 3, 3), "unit.weight": draw(32, 16, 3, 3), "linear.weight": draw(10, 32)}


def test_a6_with_and_without_weights(tmp_path):
    records = [run(CIFAR, "sc", 1, seed, 100) for seed in (1, 2, 3)]
    folders = (tmp_path / "released", tmp_path / "scratch")
    given = evidence(CIFAR, records, weights=folders)
    assert only("A6", given).verdict is Verdict.NOT_YET_TESTED
    for folder, record in zip((folders[0], folders[1], folders[1]), records, strict=True):
        assert only("A6", given).verdict is not Verdict.REPRODUCED
        folder.mkdir(exist_ok=True)
        save_file(state(record.seed), folder / f"sc-{record.identity}.safetensors")
    finding = only("A6", given)
    assert finding.verdict is Verdict.REPRODUCED
    assert finding.seeds == (3, 3)
    # A share at each of four n, and growth from each n to the next.
    assert len(finding.parts) == 7
    assert set(finding.parts[0].runs) == {record.identity for record in records}
    assert finding.parts[1].effect == approx(25, abs=2)


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
    ordered = {"conv": np.kron(np.eye(2), np.ones((8, 8)))[:, :, None, None]}
    random = random_like(ordered)
    assert np.linalg.norm(random["conv"]) == approx(np.linalg.norm(ordered["conv"]))
    assert network_errors(ordered, 2) == (0, 0)
    assert network_errors(random, 2)[0] == approx(0.5, abs=0.1)
