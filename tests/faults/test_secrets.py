"""A key of Weights & Biases is in no file that a run writes."""

import os
from pathlib import Path

from faults.runs import end, start
from small_run import cell, execution

from gc2l.campaign.run import run_cell
from gc2l.records import RunStore

KEY, PASSWORD = "0123456789abcdef0123456789abcdef01234567", "netrc-fedcba9876543210fedcba9876543210fedc"


def _run(folder: Path, run: object) -> None:
    run_cell(run, RunStore(folder / "runs"), execution(folder, wandb="offline"))


def test_keys_are_written_nowhere(trials, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {PASSWORD}\n")
    netrc.chmod(0o600)

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        assert end(start(_with_keys, folder, netrc)) == 0, (folder / "output.txt").read_text()
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert any(path.suffix == ".wandb" for path in files)
        for path in files:
            content = path.read_bytes()
            assert KEY.encode() not in content and PASSWORD.encode() not in content, path

    trials.run("WANDB_API_KEY and a netrc entry: in no file that a run writes", trial, short=1, long=5)


def _with_keys(folder: Path, netrc: Path) -> None:

    os.environ |= {"WANDB_API_KEY": KEY, "NETRC": str(netrc), "WANDB_MODE": "offline"}
    _run(folder, cell(epochs=1))
