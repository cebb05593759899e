"""The file of `make bench`: each table by column, with the machine and the commit of the code."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gc2l.files import read_checked, write_checked
from gc2l.records.environment import describe_environment

Row = dict[str, Any]
_PLACE = (
    "network", "variant", "c_in", "c_out", "kernel", "stride", "size", "groups", "channels_last", "compile", "graph",
    "images", "pass", "candidate",
)  # fmt: skip
"""What a row is of; it measures the same as another where these agree."""


class Results:
    """The tables measured so far, and their file. A file of the same commit, machine and details is continued.

    Args:
        stem: path of the file without its ending.
        accelerator: name of the GPU.
        details: further entries of the file.

    Attributes:
        path: of the file.
        tables: rows by the name of their table.
        limits: of the machine, as the file has them; empty in a new one, for the caller to measure.

    Raises:
        ValueError: the file is there, and is damaged, or of another commit or machine or with other details.
    """

    def __init__(self, stem: Path, *, accelerator: str | None = None, **details: Any) -> None:
        self.path = stem.with_name(f"{stem.name}.json")
        self.tables: dict[str, list[Row]] = {"layers": [], "steps": [], "loops": []}
        self.limits: dict[str, float] = {}
        environment = describe_environment(accelerator=accelerator)
        where = {
            "commit": environment.commit,
            "dirty": environment.dirty,
            "versions": environment.versions,
            "hardware": environment.hardware.model_dump(),
            **details,
        }
        started = datetime.now(UTC).isoformat()
        if self.path.exists():
            before = json.loads(read_checked(self.path))
            for name, value in where.items():
                if before.get(name) != value:
                    raise ValueError(
                        f"{self.path} has {name}={before.get(name)!r}, this run {value!r}: give it a --name of its own"
                    )
            started, self.limits = before["started"], before["limits"]
            self.tables = {name: _rows(before[name]) for name in self.tables}
        self._details: dict[str, Any] = {"started": started, **where}

    def add(self, table: str, rows: list[Row]) -> None:
        """Add rows to a table, in place of earlier ones that measure the same, and write the file."""
        new = {_place(row) for row in rows}
        self.tables[table] = [row for row in self.tables[table] if _place(row) not in new] + rows
        content = {
            **self._details,
            "limits": self.limits,
            "finished": datetime.now(UTC).isoformat(),
            **{name: _columns(table) for name, table in self.tables.items()},
        }
        write_checked(self.path, json.dumps(content) + "\n")


def _columns(rows: list[Row]) -> dict[str, list[Any]]:
    """The rows by column, with four significant digits: thousands of rows with their names would be megabytes."""
    return {
        name: [float(f"{row[name]:.4g}") if isinstance(row[name], float) else row[name] for row in rows]
        for name in (rows[0] if rows else ())
    }


def _rows(columns: dict[str, list[Any]]) -> list[Row]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _place(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in _PLACE)
