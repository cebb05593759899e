import errno
import os
from pathlib import Path

import pytest
import torch

from gc2l.files import (
    DamagedError,
    checksum_path,
    new_checked_file,
    new_files,
    read_checked,
    write_atomically,
    write_checked,
)


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


def test_a_checked_file_has_its_sha256_beside_it(tmp_path):
    path = tmp_path / "b.json"
    write_checked(path, "one")
    # printf one | sha256sum
    digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert checksum_path(path).read_text() == f"{digest}  b.json\n"
    write_checked(path, "two")
    assert read_checked(path) == b"two"
    assert len(checksum_path(path).read_text().splitlines()) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_an_altered_file_and_one_without_checksum_are_named(tmp_path):
    path = tmp_path / "b.json"
    write_checked(path, "one")
    path.write_text("One")
    with pytest.raises(DamagedError, match=r"b\.json is not what was written"):
        read_checked(path)
    checksum_path(path).unlink()
    with pytest.raises(DamagedError, match=r"b\.json has no checksum: b\.sha256 is missing"):
        read_checked(path)


def test_a_file_and_its_checksum_under_another_name_are_refused(tmp_path):
    write_checked(tmp_path / "b.json", "one")
    (tmp_path / "b.json").rename(tmp_path / "c.json")
    (tmp_path / "b.sha256").rename(tmp_path / "c.sha256")
    with pytest.raises(DamagedError, match=r"c\.json"):
        read_checked(tmp_path / "c.json")


@pytest.mark.parametrize("old", [False, True])
def test_a_crash_at_any_call_leaves_the_old_checked_file_or_the_new_one(old, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    for last in range(100):
        path = tmp_path / str(last) / "b.json"
        if old:
            write_checked(path, "old")
        calls = 0

        def count(function, *arguments, last=last):
            nonlocal calls
            calls += 1
            if calls > last:
                raise Killed
            return function(*arguments)

        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (Path, "replace")):
                function = getattr(owner, name)
                patch.setattr(owner, name, lambda *arguments, function=function: count(function, *arguments))
            try:
                write_checked(path, "new")
                break
            except Killed:
                pass
        assert (read_checked(path) if path.exists() else None) in ({b"old", b"new"} if old else {None, b"new"})
    assert last >= 4
    assert read_checked(path) == b"new"


def test_new_files_take_their_places_together_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "b.onnx"
    with new_files(path) as new:
        new.write_text("one")
        new.with_name("b.onnx.data").write_text("weights")
        assert [entry.name for entry in path.parent.iterdir()] == [new.parent.name]
    replace, moved = Path.replace, []
    monkeypatch.setattr(Path, "replace", lambda old, to: moved.append(to.name) or replace(old, to))
    with pytest.raises(KeyboardInterrupt), new_files(path) as new:
        new.write_text("half")
        raise KeyboardInterrupt
    assert moved == [] and path.read_text() == "one"
    with new_files(path) as new:
        for name in ("b.onnx", "a", "c"):
            new.with_name(name).write_text("two")
    assert len(moved) == 3 and moved[-1] == "b.onnx"
    assert {entry.name: entry.read_text() for entry in path.parent.iterdir()} == {
        "a": "two", "b.onnx": "two", "b.onnx.data": "weights", "c": "two",
    }  # fmt: skip


@pytest.mark.parametrize("room", [0, 100, 1000, 4000, 8000])
def test_a_full_disk_is_what_is_raised_whatever_torch_makes_of_it(room, tmp_path):
    path = tmp_path / "state.pt"
    write_checked(path, b"before")

    class Disk:
        """Takes so many bytes, and no more."""

        def __init__(self, file):
            self.file = file

        def write(self, content):
            if self.file.tell() + len(content) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(content)

    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), new_checked_file(path) as stream:
        stream._file = Disk(stream._file)
        torch.save({name: torch.zeros(500) for name in "abcd"}, stream)
    assert read_checked(path) == b"before"
