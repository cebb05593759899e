"""Reproduce a table: train the missing cells of one preset, then write the table from the records of all presets."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gc2l.campaign.script import find_preset

from gc2l.campaign.grid import Failure, run_missing
from gc2l.cells import read_presets, table_cells
from gc2l.evidence.publish import publish_table
from gc2l.records import RunStore
from gc2l.training import Execution


@dataclass(frozen=True, kw_only=True)
class GridArguments:
    """Which cells of a table to train.

    Attributes:
        preset: the scale, a file in experiments/presets.
        seeds: trains the seeds 1 to this number.
        jobs: cells trained at once, which share the cores or the GPU; "auto" takes as many as cores and memory allow.
            With more than one each gets its share of the cores as threads (--execution.threads sets another number),
            and sums are then rounded in another order. With 0 nothing is trained: the tables show the records that
            there are.
        runs: folder of the records.
        output: folder of the tables.
        execution: how the missing cells are trained.
    """

    preset: str = "digits"
    seeds: int = 1
    jobs: int | Literal["auto"] = 1
    runs: Path = Path("results/runs")
    output: Path = Path("results/tables")
    execution: Execution = Execution()  # noqa: RUF009  frozen

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.seeds < 1:
            raise ValueError(f"seeds={self.seeds} must be at least 1")
        if self.jobs != "auto" and self.jobs < 0:
            raise ValueError(f"jobs={self.jobs} must be at least 0, or 'auto'")


def reproduce_table(table: str, arguments: GridArguments, presets: Path) -> int:
    """Train the cells that the preset still lacks for `table`, then print and write the table.

    Args:
        table: "table1", "table3" or "table4".
        arguments: preset, seeds, jobs, folders and execution.
        presets: folder of the presets.

    Returns:
        The script's exit status: 0, or 1 when cells could not be trained; the table is written without them.

    Raises:
        ValueError: an unknown preset, one without a column for the table, or an execution that this machine does not
            support.
        KeyboardInterrupt: stopped; the same call continues.
    """
    preset = find_preset(arguments.preset, presets)
    cells = table_cells([table], preset, seeds=range(1, arguments.seeds + 1))
    if not cells:
        raise ValueError(f"preset {preset.name!r} has no column for {table}; see the presets in {presets}")
    store = RunStore(arguments.runs)
    failures = run_missing(cells, store, arguments.execution, jobs=arguments.jobs)
    print(publish_table(table, read_presets(presets), store, arguments.output))
    return report_failures(failures)


def report_failures(failures: Sequence[Failure]) -> int:
    """Print which cells of a grid failed, and return the script's exit status: 1 if any did."""
    for failure in failures:
        print(f"{failure.label} FAILED: {failure.message}; see {failure.log}", file=sys.stderr)
    if failures:
        print(f"{len(failures)} cells failed; the same command tries them again", file=sys.stderr)
    return 1 if failures else 0
