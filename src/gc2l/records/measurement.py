"""Records of measurements other than training runs: where they were made, and how they are written and read."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from gc2l.records.files import write_atomically
from gc2l.records.schema import Part


class Measurement(Part):
    """Something measured; attributes: commit, dirty and versions as in `Record`."""

    commit: Annotated[str, Field(min_length=1)]
    dirty: bool
    versions: dict[str, str]


Kind = TypeVar("Kind", bound=Measurement)


def save_measurement(measurement: Measurement, path: Path) -> None:
    """Write it as JSON, in place of an older one."""
    write_atomically(path, measurement.model_dump_json(indent=1) + "\n")


def read_measurement(kind: type[Kind], path: Path) -> Kind:
    """Read what `save_measurement` wrote.

    Raises:
        ValueError: not a valid record of this kind.
        FileNotFoundError: there is no such file.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(
            f"{path} is no valid record: {error}\nBring back the committed file, or measure again"
        ) from error
