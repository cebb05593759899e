"""Settings of the whole suite."""

import os

from hypothesis import HealthCheck, settings

# Read when torch and matplotlib are first imported, also by the processes that tests start.
os.environ["MPLBACKEND"] = "Agg"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every machine and in every run; a slow machine is no failure.
settings.register_profile(
    "gc2l",
    max_examples=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gc2l")
