"""The record of a run that is under way: where it is kept, how it goes on, and what it takes the place of."""

from collections.abc import Iterable
from pathlib import Path

from gc2l.analysis.inference import Place, place
from gc2l.files import checksum_path
from gc2l.records import save_measurement
from gc2l.records.environment import Environment
from gc2l.records.inference import InferenceRecord, read_inference
from gc2l.records.measurement import check_nothing_lost


def unfinished(path: Path) -> Path:
    """The file beside `path` that holds its record until every case is measured."""
    return path.with_name(f"{path.stem}-unfinished.json")


def begun(path: Path, environment: Environment, found: dict[str, str], absent: dict[str, str]) -> InferenceRecord:
    """The unfinished record or that in `path`, the first of this commit, machine and libraries; else an empty one."""
    empty = InferenceRecord(
        commit=environment.commit,
        dirty=environment.dirty,
        versions=environment.versions,
        hardware=environment.hardware,
        clock="one thread: processor time; two: the wall's",
        libraries=found,
        absent=absent,
        times=(),
        refusals=(),
    )
    for before in (read_inference(unfinished(path)), read_inference(path)):
        if before is not None and before.model_copy(update={"times": (), "refusals": ()}) == empty:
            return before
    return empty


def check_replaces(path: Path, record: InferenceRecord, planned: Iterable[Place]) -> None:
    """Check that `record`, with the planned cases measured, has every case and library that `path` has.

    Raises:
        ValueError: something would be lost.
    """
    before = read_inference(path)
    if before is None:
        return
    measured = {*planned, *(place(time) for time in record.times)}
    lost = [name for name in before.libraries if name not in record.libraries]
    for network, case, variant, n, threads in dict.fromkeys(place(time) for time in before.times):
        if (network, case, variant, n, threads) not in measured:
            lost.append(f"{case}, {variant}, n = {n}, {threads} threads")
    check_nothing_lost(path, lost, "a --name or an --output")


def finish(path: Path, record: InferenceRecord) -> None:
    """Put the record, now complete, into `path`."""
    save_measurement(record, path)
    for file in (unfinished(path), checksum_path(unfinished(path))):
        file.unlink(missing_ok=True)
