"""What the runs of each preset cost, and on which hardware."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from gc2l.analysis.labels import seeds_label
from gc2l.records import Record


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The runs of one preset on one kind of hardware.

    Attributes:
        preset: the preset's name.
        hardware: processor and cores, or the accelerator.
        execution: device, precision and compilation.
        seeds: theirs, such as "1-5".
        runs: how many.
        hours: wall-clock time of all of them.
        images_per_second: median over the runs, training only.
        peak_memory_gib: largest over the runs.
    """

    preset: str
    hardware: str
    execution: str
    seeds: str
    runs: int
    hours: float
    images_per_second: float
    peak_memory_gib: float


def preset_costs(records: Sequence[Record]) -> list[Cost]:
    """One cost for each preset, hardware and execution, in order of the preset's name."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.preset, _hardware(record), _execution(record)), []).append(record)
    return [
        Cost(
            preset=preset,
            hardware=hardware,
            execution=execution,
            seeds=seeds_label(sorted({run.seed for run in runs})).removeprefix("seeds ").removeprefix("seed "),
            runs=len(runs),
            hours=sum(run.wall_seconds for run in runs) / 3600,
            images_per_second=median(run.images_per_second for run in runs),
            peak_memory_gib=max(run.peak_memory_bytes for run in runs) / 2**30,
        )
        for (preset, hardware, execution), runs in sorted(groups.items())
    ]


def _hardware(record: Record) -> str:
    hardware = record.hardware
    return hardware.accelerator or f"{hardware.processor}, {hardware.cores} cores"


def _execution(record: Record) -> str:
    execution = record.execution
    how = ["compiled" if execution.compile else "eager", *(["CUDA graphs"] if execution.cuda_graphs else [])]
    return ", ".join([execution.device, execution.precision, *how])
