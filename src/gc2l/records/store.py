"""The records on disk: results/runs/<preset>/<slug>-<identity>.json, one file per run, and its SHA-256 beside it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from gc2l.cells import Cell
from gc2l.files import read_checked, write_checked
from gc2l.records.locks import hold, holder, try_to_hold
from gc2l.records.schema import Record, from_json, to_json


@dataclass(frozen=True)
class RunStore:
    """A folder of records.

    Attributes:
        folder: holds one subfolder per preset.
    """

    folder: Path = Path("results/runs")

    def path(self, cell: Cell) -> Path:
        """Where the record of `cell` lies, whether or not it exists."""
        return self.folder / cell.preset / f"{cell.slug}-{cell.identity}.json"

    def find(self, cell: Cell) -> Record | None:
        """The record of `cell`, None when it has not been run.

        Raises:
            ValueError: a file that is not a valid record of this cell, or not what was written.
        """
        path = self.path(cell)
        return _read(path, identity=cell.identity) if path.exists() else None

    def save(self, cell: Cell, record: Record) -> Path:
        """Write the record of `cell` and its SHA-256, in place of older ones, and return its path.

        Raises:
            ValueError: a record of another cell.
        """
        if (record.identity, record.preset) != (cell.identity, cell.preset):
            raise ValueError(
                f"the record {record.identity} of preset {record.preset!r} does not belong to the cell "
                f"{cell.identity} of preset {cell.preset!r}"
            )
        path = self.path(cell)
        write_checked(path, to_json(record))
        return path

    @contextmanager
    def exclusive(self, cell: Cell, *, waiting: Callable[[str], None]) -> Iterator[Record | None]:
        """Lock `cell`, in any preset, for training; yields the record that it has once the lock is held.

        The locks lie beside the records, in the folder that all machines of a campaign share.

        Args:
            cell: what is to be trained.
            waiting: called with the process that trains the cell, when there is one to wait for.
        """
        with hold(self._lock(cell, "lock"), waiting=waiting):
            # An NFS client remembers for up to a minute that a file was missing; after a change of its own in the
            # folder it looks again.
            folder = self.path(cell).parent
            folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=folder, prefix=".look-again-"):
                pass
            yield self.find(cell)

    def trainer(self, cell: Cell) -> str | None:
        """The process that trains `cell` now, such as "process 4711 on node3"; None if there is none."""
        return holder(self._lock(cell, "lock"))

    def claim(self, cell: Cell) -> AbstractContextManager[bool]:
        """Claim `cell` for a sweep's agent, whose subprocess trains it; yields whether it was free."""
        return try_to_hold(self._lock(cell, "claim"))

    def _lock(self, cell: Cell, purpose: str) -> Path:
        return self.folder / ".locks" / f"{cell.identity}.{purpose}"

    def paths(self, preset: str | None = None) -> list[Path]:
        """The files of all records, or of those of one preset, sorted; none when the folder is missing."""
        return sorted(self.folder.glob(f"{preset or '*'}/*.json"))

    def all(self, preset: str | None = None) -> list[Record]:
        """Every record, or every record of one preset, in the order of `paths`.

        Raises:
            ValueError: a file that is no valid record, or not what was written.
        """
        return [read_record(path) for path in self.paths(preset)]


def read_record(path: Path) -> Record:
    """The record in one file, whose folder has to be its preset and whose name has to end with its identity.

    Raises:
        ValueError: not a valid record, not what was written, or one of another cell.
    """
    return _read(path, identity=path.stem.rpartition("-")[2])


def _read(path: Path, *, identity: str) -> Record:
    try:
        record = from_json(read_checked(path).decode())
        if (record.identity, record.preset) != (identity, path.parent.name):
            raise ValueError(f"record: it is {record.identity} of preset {record.preset!r}, its path says otherwise")
    except ValueError as error:
        raise ValueError(
            f"{path} is no valid record:\n{error}\n"
            "Bring back the committed file (git checkout -- FILE), or delete it to run this cell again."
        ) from error
    return record
