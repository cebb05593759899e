"""Preemption: a run that gets a signal ends in order, and the same command continues it to the same weights."""

import os
import signal
import time

from faults.runs import THREE_EPOCHS as RUN
from faults.runs import end, run_alone, run_script_of, start
from faults.test_kill import check

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def test_preempted(trials, whole, tmp_path):
    expected, seconds = whole

    def trial(rng):
        folder = tmp_path / str(rng.random())
        folder.mkdir()
        signum, process = rng.choice(SIGNALS), start(run_script_of, RUN, folder)
        while not (folder / "handles").exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.9) * seconds)
        if process.is_alive():
            os.kill(process.pid, signum)
        status = end(process)
        recorded = list(folder.glob("runs/*/*.json"))
        assert status == 128 + signum or (status == 0 and recorded), status  # the signal may come after the record
        assert end(start(run_alone, RUN, folder)) == 0
        check(folder, expected)

    trials.run("SIGTERM, SIGUSR1, SIGHUP: exit status 128 + signal, then the same weights", trial, short=1, long=50)
