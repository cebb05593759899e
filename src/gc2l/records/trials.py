"""The record of the trials of faults: how many were made of each, and in how many something was lost."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from gc2l.records.locks import hold
from gc2l.records.measurement import Measurement, read_measurement, save_measurement
from gc2l.records.schema import Amount, Count, Hardware, Part, Positive


class Trials(Measurement):
    """Trials of one fault.

    Attributes:
        fault: what happens, and what must hold.
        trials: how many were made.
        lost: those in which it did not hold.
        seconds: what all of them took.
        hardware: the machine.
        made: when the last one ended, in UTC.
    """

    fault: Annotated[str, Field(min_length=1)]
    trials: Positive
    lost: Count
    seconds: Amount
    hardware: Hardware
    made: AwareDatetime


class TrialsRecord(Part):
    """The newest trials of each fault.

    Attributes:
        schema_version: of this format.
        rows: one for each fault, sorted.
    """

    schema_version: Literal[1] = 1
    rows: tuple[Trials, ...]


def read_trials(path: Path) -> TrialsRecord:
    """The record in `path`; one without rows when there is none.

    Raises:
        ValueError: no valid record.
    """
    return read_measurement(TrialsRecord, path) if path.exists() else TrialsRecord(rows=())


def keep_trials(trials: Trials, path: Path) -> None:
    """Write the trials of one fault into the record in `path`, in place of older ones of this fault.

    Several processes may do so at once.
    """
    with hold(path.parent / ".locks" / f"{path.name}.lock", waiting=lambda _: None):
        others = (row for row in read_trials(path).rows if row.fault != trials.fault)
        rows = sorted([*others, trials], key=lambda row: row.fault)
        save_measurement(TrialsRecord(rows=tuple(rows)), path)
