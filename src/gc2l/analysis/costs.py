"""The cost of the runs of each preset, by hardware."""

from collections.abc import Sequence

import pandas as pd

from gc2l.analysis.labels import seeds_label
from gc2l.records import Record


def preset_costs(records: Sequence[Record]) -> pd.DataFrame:
    """One row for each preset, hardware and execution, sorted by these.

    Its columns are preset, hardware (processor and cores, or the accelerator), execution (device, precision, whether
    compiled), seeds (such as "1-5"), runs (how many), hours (wall-clock time of all of them), images_per_second (median
    over the runs, training only) and peak_memory_gib (the largest).
    """
    runs = [
        {
            "preset": record.preset,
            "hardware": hardware.accelerator or f"{hardware.processor}, {hardware.cores} cores",
            "execution": f"{how.device}, {how.precision}, {'compiled' if how.compile else 'eager'}"
            + (", CUDA graphs" if how.cuda_graphs else ""),
            "seed": record.seed,
            "hours": record.wall_seconds / 3600,
            "images_per_second": record.images_per_second,
            "peak_memory_gib": record.peak_memory_bytes / 2**30,
        }
        for record in records
        for hardware, how in [(record.hardware, record.execution)]
    ]
    if not runs:
        return pd.DataFrame()
    return pd.DataFrame(runs).groupby(["preset", "hardware", "execution"], as_index=False).agg(
        seeds=("seed", lambda of: seeds_label(sorted(set(of))).removeprefix("seeds ").removeprefix("seed ")),
        runs=("seed", "size"),
        hours=("hours", "sum"),
        images_per_second=("images_per_second", "median"),
        peak_memory_gib=("peak_memory_gib", "max"),
    )  # fmt: skip
