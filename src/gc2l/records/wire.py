"""The record of what was counted on the wire in a channel-parallel training step."""

from pathlib import Path
from typing import Literal

from gc2l.records.measurement import Measurement, read_measurement
from gc2l.records.schema import Count, Part, Positive


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


class WireRecord(Measurement):
    """Counts of several networks.

    Attributes:
        schema_version: of this format.
        network: which was counted, by the name of `gc2l.models.paper_network`.
        ranks: p.
        images: batch size.
        counts: one for each convolution.
    """

    schema_version: Literal[1] = 1
    network: str
    ranks: Positive
    images: Positive
    counts: tuple[WireCount, ...]


def read_wire(path: Path) -> WireRecord | None:
    """The record in `path`; None when there is none.

    Raises:
        ValueError: no valid record.
    """
    return read_measurement(WireRecord, path) if path.exists() else None
