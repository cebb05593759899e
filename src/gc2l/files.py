"""Files that are there whole, or as they were before, and that are known to be what was written.

A checked file has its SHA-256 beside it: `name.json` in `name.sha256`, in the format of `sha256sum`. Two files of two
processes never meet in one list, and a copy of a folder, or a merge of two, keeps what belongs together.
A folder that is written at once, such as a sharded checkpoint, has one list, `SHA256SUMS`, inside.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

SUMS = "SHA256SUMS"
"""The name of a folder's list."""


class DamagedError(ValueError):
    """A file is not what was written, or nothing tells whether it is."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to `path`, creating its folder; a crash on the way leaves the old file, or none.

    It goes to a temporary file in the same folder, is flushed to disk and then takes the place of the old file.
    """
    with _temporary(path) as (file, temporary):
        file.write(content.encode() if isinstance(content, str) else content)
        _close(file)
        temporary.replace(path)


def write_checked(path: Path, content: str | bytes) -> None:
    """Write `content` as `write_atomically` does, and its SHA-256 beside it."""
    with new_checked_file(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def new_checked_file(path: Path) -> Iterator["HashedStream"]:
    """A stream whose content takes the place of `path`, with its SHA-256 beside it, when the block ends.

    A crash at any point, or an error in the block, leaves the old file with its SHA-256, or none.

    Raises:
        OSError: nothing more can be written, whatever the block made of it: torch.save raises a RuntimeError.
    """
    sums = checksum_path(path)
    with _temporary(path) as (file, temporary):
        stream = HashedStream(file)
        try:
            yield stream
        except Exception as error:
            if stream.error is None:
                raise
            raise stream.error from error
        _close(file)
        line = _line(stream.digest, path.name)
        old = sums.read_bytes() if path.exists() and sums.exists() else b""
        write_atomically(sums, line.encode() + old)  # until the file is replaced, both are right
        temporary.replace(path)
        if old:
            write_atomically(sums, line)


@contextmanager
def new_files(path: Path) -> Iterator[Path]:
    """A path of the same name in a new folder; what lies there takes its place beside `path` when the block ends.

    For what only writes to paths, and may write a second file. The one of the name of `path` is moved last. An error in
    the block leaves the old files, or none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent) as folder:
        new = Path(folder, path.name)
        yield new
        for file in sorted(Path(folder).iterdir(), key=lambda file: file == new):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            file.replace(path.with_name(file.name))


class HashedStream:
    """A binary file, open for writing, and the SHA-256 of what has been written; for all that write in order.

    Attributes:
        error: why something could not be written.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()
        self.error: OSError | None = None

    @property
    def digest(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()

    def write(self, content: bytes) -> int:
        """Append `content`."""
        self._hash.update(content)
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        self._file.flush()


def checksum_path(path: Path) -> Path:
    """The file beside `path` that holds its SHA-256."""
    return path.with_suffix(".sha256")


def read_checked(path: Path) -> bytes:
    """The content of a checked file.

    Raises:
        DamagedError: it is not what was written, or has no SHA-256 beside it; the message names it.
        FileNotFoundError: there is no such file.
    """
    content = path.read_bytes()
    _compare(path, hashlib.sha256(content).hexdigest())
    return content


def check_file(path: Path) -> None:
    """Raise what `read_checked` raises, without keeping the content in memory."""
    _compare(path, sha256(path))


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in the list of `folder`, by name; nothing when it has no list."""
    path = folder / SUMS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def write_sums(folder: Path, sums: dict[str, str]) -> None:
    """Write the list of `folder`."""
    write_atomically(folder / SUMS, "".join(_line(digest, name) for name, digest in sorted(sums.items())))


def sums_problems(folder: Path, files: Iterable[Path]) -> list[str]:
    """How `files`, all those of `folder` that count, contradict its list; each line names its file."""
    listed, found = read_sums(folder), {file.name: file for file in files}
    problems = [f"{folder / name} is listed in {SUMS} but missing" for name in listed.keys() - found]
    for name, file in found.items():
        if name not in listed:
            problems.append(f"{file} is not listed in {SUMS}")
        elif (digest := sha256(file)) != listed[name]:
            problems.append(f"{file} has the SHA-256 {digest}, {SUMS} has {listed[name]}")
    return sorted(problems)


def _line(digest: str, name: str) -> str:
    return f"{digest}  {name}\n"


def _compare(path: Path, digest: str) -> None:
    sums = checksum_path(path)
    try:
        lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise DamagedError(
            f"{path} has no checksum: {sums.name} is missing beside it. Copy it, too, or, if the file is right: "
            f"cd {path.parent} && sha256sum {path.name} > {sums.name}"
        ) from None
    if f"{digest}  {path.name}" not in lines:
        raise DamagedError(f"{path} is not what was written: its SHA-256 is {digest}, {sums.name} has {lines}")


@contextmanager
def _temporary(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


def _close(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
