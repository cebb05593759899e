import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "sweeps" / "slurm_array.sh"
AGENT = """#!/usr/bin/env bash
trap 'sleep 0.2; echo ended >> told; exit 143' TERM
echo "$*" >> told
while [[ -e busy ]]; do sleep 0.05; done
exit 1
"""


@pytest.fixture
def job(tmp_path):
    """Start the script as SLURM would, with stand-ins for the agent and for scontrol."""
    for path, text in (
        (tmp_path / ".venv/bin/python", AGENT),
        (tmp_path / "bin/scontrol", '#!/usr/bin/env bash\necho "$*" >> told\n'),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "busy").touch()
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "SLURM_ARRAY_JOB_ID": "17",
        "SLURM_ARRAY_TASK_ID": "3",
    }
    with subprocess.Popen([SCRIPT, "sweeps/table1-digits.yaml"], cwd=tmp_path, env=environment) as process:
        while not (tmp_path / "told").exists():
            time.sleep(0.02)
        yield process, tmp_path
        process.kill()


def test_a_job_ends_as_its_agent_does(job):
    process, folder = job
    (folder / "busy").unlink()
    assert process.wait(timeout=60) == 1
    assert (folder / "told").read_text().splitlines() == ["experiments/sweep.py sweeps/table1-digits.yaml"]


def test_a_job_near_its_time_limit_stops_its_agent_first_and_is_queued_again(job):
    process, folder = job
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=60) == 143
    told = (folder / "told").read_text().splitlines()
    assert told == ["experiments/sweep.py sweeps/table1-digits.yaml", "ended", "requeue 17_3"]


def test_a_job_that_is_cancelled_stops_its_agent_and_is_not_queued_again(job):
    process, folder = job
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert (folder / "told").read_text().splitlines() == ["experiments/sweep.py sweeps/table1-digits.yaml", "ended"]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", SCRIPT], check=True)
