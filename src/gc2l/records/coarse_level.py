"""The record of what the coarse level does in trained GC-2L networks."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gc2l.records.measurement import Measurement, read_measurement
from gc2l.records.schema import Count, Part, Positive

Share = Annotated[float, Field(ge=0)]


class CoarseLayer(Part):
    """One GC-2L layer.

    Attributes:
        name: of the module.
        share: energy of C z over that of the output without bias, over all test images.
        effective_rank: of C, the exponential of the entropy of its normalised singular values.
        coarse_channels: n m, the largest rank.
        mean_errors: test errors with the means of this layer's groups in place of its r x.
    """

    name: str
    share: Share
    effective_rank: Annotated[float, Field(ge=1)]
    coarse_channels: Positive
    mean_errors: Count


class CoarseNetwork(Part):
    """One trained network.

    Attributes:
        slug, identity: of its run.
        images: of the test set.
        errors: wrong answers as it was trained.
        mean_errors: with means of the channels in place of r x in all layers.
        removed_errors: with C = 0 in all layers.
        layers: in the order of the network.
    """

    slug: str
    identity: str
    images: Positive
    errors: Count
    mean_errors: Count
    removed_errors: Count
    layers: tuple[CoarseLayer, ...]


class CoarseLevelRecord(Measurement):
    """The released GC-2L networks.

    Attributes:
        schema_version: of this format.
        networks: one for each.
    """

    schema_version: Literal[1] = 1
    networks: tuple[CoarseNetwork, ...]


def read_coarse_level(path: Path) -> CoarseLevelRecord | None:
    """The record in `path`; None when there is none.

    Raises:
        ValueError: no valid record.
    """
    return read_measurement(CoarseLevelRecord, path) if path.exists() else None
