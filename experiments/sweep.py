"""Run a W&B sweep file without W&B's server: an agent for machines without internet.

    python experiments/sweep.py sweeps/table1-digits.yaml

Runs each cell that has no record with the command line that `wandb agent` would use. Start as many agents as you like,
on any machines that share the folder of the records: no cell is trained twice. Exit status: 0, 1 when a cell failed,
2 after a wrong argument; when stopped, 130 after Ctrl-C, 143 after SIGTERM, 138 after SIGUSR1, 129 after SIGHUP.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from gc2l.campaign.script import run_script

import tyro

from gc2l.campaign.agent import open_jobs, run_agent, run_command
from gc2l.campaign.sweep import read_sweep

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to run.

    Attributes:
        file: the sweep file.
        count: run at most this many cells.
        dry_run: print the commands that would be run, and run none.
        list_missing: print the cells that have no record and who is training them, and run none.
    """

    file: tyro.conf.Positional[Path]
    count: int | None = None
    dry_run: bool = False
    list_missing: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        if self.count is not None and self.count < 1:
            raise ValueError(f"count={self.count} must be at least 1")
        if self.dry_run and self.list_missing:
            raise ValueError("--dry-run and --list-missing exclude each other")


def main() -> int:
    """List the jobs, or run them."""
    arguments = tyro.cli(Arguments, description=__doc__)
    jobs = open_jobs(read_sweep(arguments.file), PRESETS)
    if arguments.dry_run:
        for job in jobs[: arguments.count]:
            print(shlex.join(job.command))
        return 0
    if arguments.list_missing:
        for job in jobs[: arguments.count]:
            trainer = job.store.trainer(job.cell)
            print(job.label if trainer is None else f"{job.label} (being trained by {trainer})")
        return 0
    return 1 if run_agent(jobs, count=arguments.count, run=run_command) else 0


if __name__ == "__main__":
    run_script(main)
