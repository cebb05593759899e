"""The list of checksums that a user may lay beside images: SHA256SUMS, as `sha256sum` writes it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gc2l.files import SUMS, read_sums, sha256


def check_sums(folder: Path, files: Sequence[Path]) -> None:
    """Compare all `files`, which lie below `folder`, with its list, if it has one.

    Raises:
        ValueError: a file has another checksum than in the list, or is not in it.
    """
    listed = {name.removeprefix("./"): digest for name, digest in read_sums(folder).items()}
    if not listed:
        return
    with ThreadPoolExecutor() as pool:
        for file, digest in zip(files, pool.map(sha256, files), strict=True):
            expected = listed.get(file.relative_to(folder).as_posix())
            if expected is None:
                raise ValueError(f"{file} is not listed in {folder / SUMS}: list it, or remove one of the two")
            if digest != expected:
                raise ValueError(f"{file}: altered, its SHA-256 is {digest}, but {folder / SUMS} says {expected}")
