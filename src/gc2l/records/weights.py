"""The released weights on disk: results/weights/<slug>-<identity>.safetensors, and the SHA-256 of each."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gc2l.cells import Cell
from gc2l.records.files import write_atomically

WEIGHTS_LIMIT_BYTES = 1_000_000
"""Files of this size and above are not released: a repository is cloned with every version of them."""


@dataclass(frozen=True)
class WeightsFolder:
    """A folder of final weights and their list SHA256SUMS, which `sha256sum --check` reads.

    Attributes:
        folder: holds all of them.
    """

    folder: Path = Path("results/weights")

    @property
    def sums(self) -> Path:
        """The list: for each file a line with SHA-256, two blanks and name."""
        return self.folder / "SHA256SUMS"

    def path(self, cell: Cell) -> Path:
        """Where the weights of `cell` lie, whether or not they are released."""
        return self.folder / f"{cell.slug}-{cell.identity}.safetensors"

    def files(self) -> list[Path]:
        """Every released file, sorted."""
        return sorted(self.folder.glob("*.safetensors"))

    def save(self, cell: Cell, content: bytes) -> Path:
        """Write the weights of `cell` and bring the list up to date.

        Raises:
            ValueError: content of `WEIGHTS_LIMIT_BYTES` or more.
        """
        if len(content) >= WEIGHTS_LIMIT_BYTES:
            raise ValueError(
                f"the weights of {cell.slug} have {len(content)} bytes, the limit is {WEIGHTS_LIMIT_BYTES}"
            )
        path = self.path(cell)
        write_atomically(path, content)
        write_atomically(self.sums, "".join(f"{_sha256(file)}  {file.name}\n" for file in self.files()))
        return path

    def problems(self) -> list[str]:
        """The files that contradict the list or the limit, one line each."""
        lines = self.sums.read_text(encoding="utf-8").splitlines() if self.sums.exists() else []
        listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        found = {file.name: file for file in self.files()}
        problems = [f"{self.folder / name} is listed in {self.sums.name} but missing" for name in listed.keys() - found]
        for name, file in found.items():
            if name not in listed:
                problems.append(f"{file} is not listed in {self.sums.name}")
            elif _sha256(file) != listed[name]:
                problems.append(f"{file} has the SHA-256 {_sha256(file)}, {self.sums.name} has {listed[name]}")
            if file.stat().st_size >= WEIGHTS_LIMIT_BYTES:
                problems.append(f"{file} has {file.stat().st_size} bytes, the limit is {WEIGHTS_LIMIT_BYTES}")
        return sorted(problems)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
