"""Which checkpoints are kept, and which of them is the newest."""

from pathlib import Path
from types import SimpleNamespace

import torch

from gc2l.files import write_checked
from gc2l.training.checkpoints import EpochCheckpoint, Made, newest_readable

MADE = Made(device="cpu", precision="float32", threads=1, commit="a", dirty=False)


def test_epochs_with_five_digits_are_newer_than_those_with_four(tmp_path):
    trainer = SimpleNamespace(save_checkpoint=lambda path: write_checked(Path(path), "-"), is_global_zero=True)
    callback = EpochCheckpoint(tmp_path, "identity", MADE)
    for trainer.current_epoch in range(9997, 10001):
        callback.on_train_epoch_end(trainer, None)
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {"10000.ckpt", "10001.ckpt"}
    for name in ("9999.ckpt", "10000.ckpt", "10001.ckpt"):
        torch.save({"cell": "identity"}, tmp_path / name)
        write_checked(tmp_path / name, (tmp_path / name).read_bytes())
    assert newest_readable(tmp_path, "identity").name == "10001.ckpt"
    (tmp_path / "10001.ckpt").unlink()
    assert newest_readable(tmp_path, "identity").name == "10000.ckpt"
