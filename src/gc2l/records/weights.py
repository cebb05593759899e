"""Final weights on disk: the file that a run left, and the released ones with their list of SHA-256."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gc2l.cells import Cell
from gc2l.files import SUMS, read_checked, read_sums, sums_problems, write_atomically, write_sums
from gc2l.records.schema import Record

WEIGHTS_LIMIT_BYTES = 1_000_000
"""Files of this size and above are not released: a repository is cloned with every version of them."""


@dataclass(frozen=True)
class WeightsFolder:
    """A folder of released weights and their list SHA256SUMS, which `sha256sum --check` reads.

    Attributes:
        folder: holds all of them.
    """

    folder: Path = Path("results/weights")

    @property
    def sums(self) -> Path:
        """The list: for each file a line with SHA-256, two blanks and name."""
        return self.folder / SUMS

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
        # The other files' lines stay: a file that was altered must not be listed as it is now.
        write_sums(self.folder, read_sums(self.folder) | {path.name: hashlib.sha256(content).hexdigest()})
        return path

    def problems(self) -> list[str]:
        """The files that contradict the list or the limit, one line each."""
        problems = sums_problems(self.folder, self.files())
        for file in self.files():
            if file.stat().st_size >= WEIGHTS_LIMIT_BYTES:
                problems.append(f"{file} has {file.stat().st_size} bytes, the limit is {WEIGHTS_LIMIT_BYTES}")
        return sorted(problems)


def read_final_weights(path: Path, record: Record) -> bytes:
    """The file that the run of `record` left at `path`, where every run of its cell leaves its own.

    A record older than `Record.weights_sha256` cannot tell its run's file from another's.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another run.
    """
    content = read_checked(path)
    found = hashlib.sha256(content).hexdigest()
    if record.weights_sha256 not in (None, found):
        raise ValueError(
            f"{path} is of another run than the record: SHA-256 {found}, recorded {record.weights_sha256}; train the "
            "cell again with --retrain, or bring the file of the recorded run"
        )
    return content
