import os
from pathlib import Path

import pytest

from gc2l.records import write_atomically


def test_it_creates_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, "first\n")
    write_atomically(path, "± second\n")
    assert path.read_bytes() == "± second\n".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_on_the_way_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "b.txt"
    write_atomically(path, "old")

    def crash(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), crash)
    with pytest.raises(OSError, match="disk is full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_text_is_on_disk_before_it_takes_the_files_place(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (calls.append("fsync"), fsync(number))[1])
    monkeypatch.setattr(Path, "replace", lambda old, new: (calls.append("replace"), replace(old, new))[1])
    write_atomically(tmp_path / "b.txt", "text")
    assert calls == ["fsync", "replace"]
