"""The table of the trials of faults."""

from collections.abc import Sequence

from gc2l.analysis.text import markdown_grid
from gc2l.records import Trials


def trials_table(rows: Sequence[Trials]) -> str:
    """A line for each fault, and below the table the machines on which they were tried."""
    if not rows:
        return "No trials are recorded."
    lines = [
        [
            row.fault,
            f"{row.trials:,}",
            f"{row.trials - row.lost:,}",
            f"{row.lost:,}",
            f"{row.commit[:8]}{' and changes' if row.dirty else ''}",
            f"{row.made:%Y-%m-%d %H:%M}",
        ]
        for row in rows
    ]
    machines = dict.fromkeys(
        f"{row.hardware.processor}, {row.hardware.cores} cores, Python {row.versions['python']}, torch "
        f"{row.versions['torch']}"
        for row in rows
    )
    total = sum(row.trials for row in rows), sum(row.lost for row in rows)
    grid = markdown_grid(lines, ["fault", "trials", "held", "lost", "commit", "ended (UTC)"], right=(1, 2, 3))
    return f"{grid}\n\n{total[0]:,} trials, {total[1]:,} lost. On: {'; '.join(machines)}."
