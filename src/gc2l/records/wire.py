"""The record of what was counted on the wire in a channel-parallel training step."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from gc2l.records.files import write_atomically
from gc2l.records.schema import Part

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class WireCount(Part):
    """One training step of one network, on one rank.

    Attributes:
        variant, groups: the convolution.
        calls: collectives that were started.
        forward_bytes, backward_bytes: sizes of the tensors that they were given.
        expected_bytes: both passes, in closed form.
        equal: whether every single collective has layer, pass, kind and size of the closed form.
    """

    variant: str
    groups: Positive
    calls: Count
    forward_bytes: Count
    backward_bytes: Count
    expected_bytes: Count
    equal: bool


class WireRecord(Part):
    """Counts of several networks.

    Attributes:
        schema_version: of this format.
        commit, dirty, versions: as in `Record`.
        network: which was counted, by the name of `gc2l.models.paper_network`.
        ranks: p.
        images: batch size.
        counts: one for each convolution.
    """

    schema_version: Literal[1] = 1
    commit: Annotated[str, Field(min_length=1)]
    dirty: bool
    versions: dict[str, str]
    network: str
    ranks: Positive
    images: Positive
    counts: tuple[WireCount, ...]


def save_wire(record: WireRecord, path: Path) -> None:
    """Write `record` as JSON, in place of an older one."""
    write_atomically(path, record.model_dump_json(indent=1) + "\n")


def read_wire(path: Path) -> WireRecord | None:
    """The record in `path`; None when there is none.

    Raises:
        ValueError: no valid record.
    """
    if not path.exists():
        return None
    try:
        return WireRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(f"{path} is no valid record of the wire: {error}; make wire counts again") from error
