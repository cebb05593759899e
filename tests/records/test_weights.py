import shutil
import subprocess
from dataclasses import replace

import pytest

from gc2l.cells import Cell
from gc2l.records import WEIGHTS_LIMIT_BYTES, WeightsFolder

CELL = Cell(preset="tiny")
OTHER = replace(CELL, seed=2)


@pytest.fixture
def weights(tmp_path):
    folder = WeightsFolder(tmp_path / "weights")
    folder.save(CELL, b"one")
    folder.save(OTHER, b"two")
    return folder


def test_what_is_saved_is_listed(weights):
    assert weights.problems() == []
    assert weights.files() == [weights.path(CELL), weights.path(OTHER)]
    # printf one | sha256sum
    digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert weights.sums.read_text().splitlines()[0] == f"{digest}  {weights.path(CELL).name}"
    weights.save(CELL, b"three")
    assert weights.problems() == []
    assert len(weights.sums.read_text().splitlines()) == 2


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum")
def test_sha256sum_reads_the_list(weights):
    check = ["sha256sum", "--check", "--strict", weights.sums.name]
    assert subprocess.run(check, cwd=weights.folder, capture_output=True, check=False).returncode == 0
    weights.path(CELL).write_bytes(b"One")
    assert subprocess.run(check, cwd=weights.folder, capture_output=True, check=False).returncode == 1


def test_every_contradiction_is_named(weights):
    weights.path(CELL).write_bytes(b"One")
    weights.path(OTHER).unlink()
    stray = weights.folder / "stray.safetensors"
    stray.write_bytes(bytes(WEIGHTS_LIMIT_BYTES))
    problems = weights.problems()
    for path, what in (
        (weights.path(CELL), "has the SHA-256"),
        (weights.path(OTHER), "is listed in SHA256SUMS but missing"),
        (stray, "is not listed in SHA256SUMS"),
        (stray, f"has {WEIGHTS_LIMIT_BYTES} bytes"),
    ):
        assert sum(problem.startswith(f"{path} {what}") for problem in problems) == 1
    assert len(problems) == 4


def test_a_large_file_is_not_saved(weights):
    before = weights.sums.read_text()
    with pytest.raises(ValueError, match="the limit is 1000000"):
        weights.save(replace(CELL, seed=3), bytes(WEIGHTS_LIMIT_BYTES))
    assert weights.sums.read_text() == before


def test_a_folder_that_is_not_there_has_no_problems(tmp_path):
    assert WeightsFolder(tmp_path).problems() == []
