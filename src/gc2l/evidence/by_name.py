"""The released networks by name: which there are, how well each does, and loading one."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from torch import nn

import gc2l
from gc2l.cells import Cell
from gc2l.data import dataset_info
from gc2l.evidence.released import recorded_cell, trained_network
from gc2l.records import Record, RunStore, Score, WeightsFolder, read_record
from gc2l.variants import VARIANTS


@dataclass(frozen=True, kw_only=True)
class Released:
    """One released network.

    Attributes:
        name: what `load_released` calls it.
        path: the file of its weights.
        cell: the run that trained it.
        record: what came out.
        test: its errors on the test set, with their Wilson interval.
    """

    name: str
    path: Path
    cell: Cell
    record: Record
    test: Score

    @property
    def image_size(self) -> int:
        """Side of the images that it was trained on, in pixels."""
        return self.cell.data.image_size or dataset_info(self.cell.data.name).image_size

    def __str__(self) -> str:
        """One line: name, convolution, test error with its interval."""
        model, low, high = self.cell.model, self.test.interval.low, self.test.interval.high
        return (
            f"{self.name}: {VARIANTS[model.variant].label}, n = {model.groups}, "
            f"{self.record.parameters:,} parameters, test error {self.test.error_percent:.2f} % "
            f"({low:.2f} to {high:.2f})"
        )


def list_released(results: Path | None = None) -> list[Released]:
    """Every released network whose record is there, by name.

    Args:
        results: the folder with `weights` and `runs`; the default is that of the clone gc2l is installed from, else
            `results`.

    Raises:
        ValueError: weights without a record, or of a run that did not finish.
    """
    return sorted(_released(results or _results()), key=lambda released: (released.name, released.path))


def load_released(name: str, results: Path | None = None) -> nn.Module:
    """A released network with its trained weights, in evaluation mode, on the CPU.

    It takes images (N, 3, H, W) from which the `mean` of `gc2l.data.dataset_info` is subtracted, divided by `std`.

    Args:
        name: one of `list_released`, or the stem of its file.
        results: see `list_released`.

    Raises:
        ValueError: an unknown name, with near ones; a file that is not as it was released.
    """
    released = find_released(name, results)
    problems = [text for text in WeightsFolder(released.path.parent).problems() if text.startswith(f"{released.path} ")]
    if problems:
        raise ValueError(f"{problems[0]}; bring back the committed file: git checkout -- {released.path}")
    return trained_network(released.cell, released.path)


def find_released(name: str, results: Path | None = None) -> Released:
    """The released network `name`.

    Raises:
        ValueError: see `load_released`.
    """
    folder = results or _results()
    known = list_released(folder)
    found = [released for released in known if name in (released.name, released.path.stem)]
    if len(found) == 1:
        return found[0]
    if found:
        stems = ", ".join(repr(released.path.stem) for released in found)
        raise ValueError(f"name={name!r} stands for {len(found)} released networks; choose one of {stems}")
    if not known:
        raise ValueError(
            f"name={name!r}: {folder / 'weights'} has no released networks; they come with a clone of the "
            "repository, whose results folder is the argument results"
        )
    names = [released.name for released in known]
    near = get_close_matches(name, names, n=3, cutoff=0.4)
    raise ValueError(f"name={name!r} is not released; {suggestion(near or names)}")


def suggestion(names: list[str]) -> str:
    """Names as the end of an error message."""
    return f"did you mean {' or '.join(map(repr, names))}?"


def _released(results: Path) -> Iterator[Released]:
    records = {path.stem: path for path in RunStore(results / "runs").paths()}
    for path in WeightsFolder(results / "weights").files():
        if path.stem not in records:
            raise ValueError(f"{path} has no record {path.stem}.json below {results / 'runs'}")
        record = read_record(records[path.stem])
        if record.test is None:
            raise ValueError(f"{path} has the record {records[path.stem]} of a run that {record.status}")
        cell = recorded_cell(record, Path())
        yield Released(name=cell.slug, path=path, cell=cell, record=record, test=record.test)


def _results() -> Path:
    clone = Path(gc2l.__file__).parents[2] / "results"
    return clone if clone.is_dir() else Path("results")
