"""What `make bench` keeps: one JSON file, each table by column, beside the facts of the machine and the code."""

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
        facts: further entries of the file.
    """

    def __init__(self, stem: Path, *, accelerator: str | None = None, **facts: Any) -> None:
        self.path = stem.with_name(f"{stem.name}.json")
        self.tables: dict[str, list[Row]] = {"layers": [], "steps": [], "loops": []}
        environment = describe_environment(accelerator=accelerator)
        self._facts = {
            "started": datetime.now(UTC).isoformat(),
            "commit": environment.commit,
            "dirty": environment.dirty,
            "versions": environment.versions,
            "hardware": environment.hardware.model_dump(),
            **facts,
        }

    def add(self, table: str, rows: list[Row]) -> None:
        """Add rows to a table and write the file."""
        self.tables[table] += rows
        content = {
            **self._facts,
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
