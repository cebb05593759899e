"""The records on disk: results/runs/<preset>/<slug>-<identity>.json, one file per run."""

from dataclasses import dataclass
from pathlib import Path

from gc2l.cells import Cell
from gc2l.records.files import write_atomically
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
            ValueError: a file that is no valid record of this cell.
        """
        path = self.path(cell)
        return _read(path, identity=cell.identity) if path.exists() else None

    def save(self, cell: Cell, record: Record) -> Path:
        """Write the record of `cell`, in place of an older one, and return its path.

        Raises:
            ValueError: a record of another cell.
        """
        if (record.identity, record.preset) != (cell.identity, cell.preset):
            raise ValueError(
                f"the record {record.identity} of preset {record.preset!r} does not belong to the cell "
                f"{cell.identity} of preset {cell.preset!r}"
            )
        path = self.path(cell)
        write_atomically(path, to_json(record))
        return path

    def all(self, preset: str | None = None) -> list[Record]:
        """Every record, or every record of one preset, sorted by path; none when the folder is missing.

        Raises:
            ValueError: a file that is no valid record.
        """
        paths = sorted(self.folder.glob(f"{preset or '*'}/*.json"))
        return [_read(path, identity=path.stem.rpartition("-")[2]) for path in paths]


def _read(path: Path, *, identity: str) -> Record:
    try:
        record = from_json(path.read_text(encoding="utf-8"))
        if (record.identity, record.preset) != (identity, path.parent.name):
            raise ValueError(f"record: it is {record.identity} of preset {record.preset!r}, its path says otherwise")
    except ValueError as error:
        raise ValueError(
            f"{path} is no valid record:\n{error}\n"
            "Bring back the committed file (git checkout -- FILE), or delete it to run this cell again."
        ) from error
    return record
