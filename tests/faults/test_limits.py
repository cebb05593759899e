"""Full disks, quotas, folders that may not be written, too little memory: said plainly, and nothing is half there."""

import resource
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from faults.runs import THREE_EPOCHS as RUN
from faults.runs import end, run_alone, run_grid_with_limit, run_script_of, run_with_limit, start
from faults.test_kill import check

from gc2l.files import read_checked
from gc2l.records import RunStore


def _no_half_file(folder: Path) -> None:
    for path in [*folder.glob("runs/*/*.json"), *folder.glob("checkpoints/*/*.ckpt"), *folder.glob("weights/*.safe*")]:
        read_checked(path)


def test_quota(trials, whole, tmp_path):
    expected, _ = whole

    def trial(rng):
        folder = tmp_path / str(rng.random())
        shutil.copytree(expected / "runs", folder / "runs")
        store = RunStore(folder / "runs")
        (earlier,) = store.all()
        other = replace(RUN, seed=rng.randrange(2, 99))
        status = end(start(run_with_limit, resource.RLIMIT_FSIZE, rng.randrange(1, 700_000), other, folder))
        output = (folder / "output.txt").read_text() if (folder / "output.txt").exists() else ""
        if status != 0:
            assert "Traceback" not in output, output
            assert store.find(RUN) == earlier
        _no_half_file(folder)
        (folder / "output.txt").unlink(missing_ok=True)
        assert end(start(run_alone, other, folder)) == 0
        assert len(store.all()) == 2

    trials.run("no file may grow beyond a size: earlier records intact, no half file", trial, short=1, long=20)


def test_full_disk(trials, whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:

        def trial(rng):
            size = rng.randrange(60_000, 3_000_000)
            subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
            status = end(start(run_script_of, RUN, disk))
            output = (disk / "output.txt").read_text()
            assert status == 0 or "No space left" in output or "Traceback" not in output, output
            _no_half_file(disk)
            subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
            assert end(start(run_alone, RUN, disk)) == 0
            check(disk, whole[0])
            for path in disk.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

        trials.run("full disk: no half file, then the same weights", trial, short=1, long=20)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_results_that_may_not_be_written(trials, tmp_path):
    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        (folder / rng.choice(["runs", "checkpoints"])).write_text("a file where a folder should be")
        assert end(start(run_script_of, RUN, folder)) == 1
        output = (folder / "output.txt").read_text()
        assert "error: " in output and str(folder) in output and "Traceback" not in output, output

    trials.run("folder of records or checkpoints cannot be made: one line that names it", trial, short=1, long=20)


def test_too_little_memory(trials, tmp_path):
    large = replace(RUN, training=replace(RUN.training, batch_size=1200, epochs=1), model=replace(RUN.model, width=10))

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        status = end(start(run_with_limit, resource.RLIMIT_AS, 500_000_000, large, folder))
        output = (folder / "output.txt").read_text()
        assert status == 1 and "Traceback" not in output, output
        assert "batch_size=1200" in output, output

    trials.run("out of memory: names the batch size", trial, short=1, long=5)


def test_a_grid_goes_on_after_too_little_memory(trials, tmp_path):
    if not trials.long:
        pytest.skip("a grid that runs out of memory: only in the long campaign")
    large = replace(RUN, training=replace(RUN.training, batch_size=1200, epochs=1), model=replace(RUN.model, width=16))

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        small = [replace(RUN, seed=seed) for seed in rng.sample(range(2, 99), 2)]
        assert end(start(run_grid_with_limit, 700_000_000, [large, *small], folder)) == 0
        (failure,) = (folder / "failures.txt").read_text().splitlines()
        assert failure.startswith(large.identity) and "batch_size=1200" in failure, failure
        assert {record.identity for record in RunStore(folder / "runs").all()} == {cell.identity for cell in small}

    trials.run("out of memory in a grid: batch size named, the other cells trained", trial, short=1, long=5)
