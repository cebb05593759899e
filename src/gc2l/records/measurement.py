"""Records of measurements other than training runs: where they were made, and how they are written and read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from gc2l.files import read_checked, write_checked
from gc2l.records.schema import Name, Part


class Measurement(Part):
    """Something measured; attributes: commit, dirty and versions as in `Record`."""

    commit: Annotated[Name, Field(min_length=1)]
    dirty: bool
    versions: dict[Name, Name]


Kind = TypeVar("Kind", bound=Part)


def save_measurement(measurement: Part, path: Path) -> None:
    """Write it as JSON, with its SHA-256 beside it, in place of an older one."""
    write_checked(path, measurement.model_dump_json(indent=1) + "\n")


def check_nothing_lost(path: Path, lost: Sequence[str], own_place: str) -> None:
    """Check that no part of the measurement in `path` is lost when a run replaces it.

    Args:
        path: of the measurement.
        lost: the parts of it that the run would not make again, each in words.
        own_place: the flags that give the run a file of its own.

    Raises:
        ValueError: some are lost; the message names the first.
    """
    if lost:
        more = f" and {len(lost) - 1} more" if lost[1:] else ""
        raise ValueError(
            f"{path} has measurements that this run would replace and not make again: {lost[0]}{more}. "
            f"Give this run {own_place} of its own, or move that file away first"
        )


def read_measurement(kind: type[Kind], path: Path) -> Kind:
    """Read what `save_measurement` wrote.

    Raises:
        ValueError: not a valid record of this kind, or not what was written.
        FileNotFoundError: there is no such file.
    """
    content = read_checked(path)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(
            f"{path} is no valid record: {error}\nBring back the committed file, or measure again"
        ) from error
