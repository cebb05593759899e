"""How well GC and GC-2L approximate the layers of a trained network: measured once, kept as CSV.

The weights of the larger networks are not part of the repository. The measurements on them are, so that claim A6 and
its figure follow from committed files.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, TypeAdapter

from gc2l.analysis.claims.approximation import approximation_errors
from gc2l.files import read_checked
from gc2l.records import Record

State = Mapping[str, np.ndarray]
"""The weights of a network with standard convolutions, by name."""


class Approximation(BaseModel):
    """One trained network with standard convolutions, approximated with n groups.

    Attributes:
        preset: of its record.
        identity: of its record.
        seed: of its record.
        groups: n.
        gc: relative squared error of the best GC, see `network_errors`.
        gc2l: that of the best GC-2L.
        random_gc: that of the best GC for random weights of the same shapes and norms.
        random_gc2l: that of the best GC-2L for these.
        weights_sha256: as in its record, of the weights that were approximated; empty where the record has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: str
    identity: str
    seed: int
    groups: int
    gc: float
    gc2l: float
    random_gc: float
    random_gc2l: float
    weights_sha256: str = ""

    @property
    def restored_percent(self) -> float:
        """The share of GC's error that the coarse level removes."""
        return 100 * (1 - self.gc2l / self.gc)

    @property
    def random_restored_percent(self) -> float:
        """The same for random weights."""
        return 100 * (1 - self.random_gc2l / self.random_gc)


def network_errors(weights: State, groups: int) -> tuple[float, float]:
    """The relative squared errors of the best GC and GC-2L (one coarse channel) over all layers of a network.

    The layers are the convolutions whose channel counts both are multiples of `groups`: the stem (3 input channels)
    and depthwise ones (1) are no candidates. Each layer counts by its squared norm.

    Args:
        weights: of a network with standard convolutions.
        groups: n >= 2.

    Raises:
        ValueError: no layer that can have this many groups.
    """
    convolutions = _convolutions(weights).values()
    layers = [w for w in convolutions if w.shape[0] % groups == 0 and w.shape[1] % groups == 0]
    if not layers:
        raise ValueError(f"no convolution can have groups={groups}")
    norms = [float(np.square(layer, dtype=np.float64).sum()) for layer in layers]
    errors = [approximation_errors(layer, groups) for layer in layers]
    group, two_level = np.average(np.array(errors), axis=0, weights=norms)
    return float(group), float(two_level)


def random_like(weights: State, seed: int) -> dict[str, np.ndarray]:
    """Weights without structure: normal numbers in the shapes of the convolutions, with their norms."""
    random = np.random.default_rng(seed)
    convolutions = _convolutions(weights)
    drawn = {name: random.standard_normal(weight.shape) for name, weight in convolutions.items()}
    return {name: draw * (np.linalg.norm(weights[name]) / np.linalg.norm(draw)) for name, draw in drawn.items()}


def _convolutions(weights: State) -> dict[str, np.ndarray]:
    # By name: safetensors gives the tensors of one file in another order in every process.
    return {name: weight for name, weight in sorted(weights.items()) if weight.ndim == 4}


def approximate(weights: State, groups: Iterable[int], record: Record) -> list[Approximation]:
    """Measure the network of `record` for every n of `groups`; its random counterpart is drawn with its own seed.

    Raises:
        ValueError: an n that no layer can have.
    """
    unstructured = random_like(weights, record.seed)
    names = ("gc", "gc2l", "random_gc", "random_gc2l")
    measured = []
    for n in groups:
        errors = dict(zip(names, (*network_errors(weights, n), *network_errors(unstructured, n)), strict=True))
        measured.append(
            Approximation(
                preset=record.preset,
                identity=record.identity,
                seed=record.seed,
                groups=n,
                weights_sha256=record.weights_sha256 or "",
                **errors,
            )
        )
    return measured


def by_groups(
    approximations: Iterable[Approximation], records: Iterable[Record]
) -> dict[int, tuple[Approximation, ...]]:
    """Those of the given runs by number of groups, ascending, and by seed; empty when none has been measured."""
    wanted = {(record.preset, record.identity) for record in records}
    of_runs = sorted(
        (one for one in approximations if (one.preset, one.identity) in wanted), key=lambda one: (one.groups, one.seed)
    )
    return {groups: tuple(found) for groups, found in groupby(of_runs, key=lambda one: one.groups)}


def to_csv(approximations: Sequence[Approximation]) -> str:
    """A line for each network and n."""
    rows = [approximation.model_dump() for approximation in approximations]
    return pd.DataFrame(rows, columns=list(Approximation.model_fields)).to_csv(index=False, lineterminator="\n")


def read_approximations(path: Path) -> tuple[Approximation, ...]:
    """Read what `to_csv` wrote; nothing when there is no such file.

    Raises:
        ValueError: a file that holds something else, or is not what was written.
    """
    if not path.exists():
        return ()
    rows = list(csv.DictReader(io.StringIO(read_checked(path).decode(), newline="")))
    try:
        return tuple(TypeAdapter(list[Approximation]).validate_python(rows))
    except ValueError as error:
        raise ValueError(f"{path} holds no approximations: {error}") from error
