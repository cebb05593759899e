"""Sweep files of Weights & Biases, run with or without its server."""

from gc2l.sweeps.agent import Job, open_jobs, run_agent, run_command
from gc2l.sweeps.file import Sweep, read_sweep

__all__ = ["Job", "Sweep", "open_jobs", "read_sweep", "run_agent", "run_command"]
