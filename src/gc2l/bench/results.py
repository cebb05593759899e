"""The file of `make bench`: each table by column, with the machine and the commit of the code."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gc2l.files import write_checked
from gc2l.records.environment import describe_environment

Row = dict[str, Any]


class Results:
    """The tables measured so far, and their file.

    Args:
        stem: path of the file without its ending.
        accelerator: name of the GPU.
        details: further entries of the file.
    """

    def __init__(self, stem: Path, *, accelerator: str | None = None, **details: Any) -> None:
        self.path = stem.with_name(f"{stem.name}.json")
        self.tables: dict[str, list[Row]] = {"layers": [], "steps": [], "loops": []}
        environment = describe_environment(accelerator=accelerator)
        self._details = {
            "started": datetime.now(UTC).isoformat(),
            "commit": environment.commit,
            "dirty": environment.dirty,
            "versions": environment.versions,
            "hardware": environment.hardware.model_dump(),
            **details,
        }

    def add(self, table: str, rows: list[Row]) -> None:
        """Add rows to a table and write the file."""
        self.tables[table] += rows
        content = {
            **self._details,
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
