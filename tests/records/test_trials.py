import json
from datetime import timedelta

import pytest
from records.samples import HARDWARE, START

from gc2l.analysis.trials import trials_table
from gc2l.records import Trials, keep_trials, read_trials


def made(fault, trials, lost, hours=0):
    return Trials(
        fault=fault, trials=trials, lost=lost, seconds=1.5, hardware=HARDWARE, made=START + timedelta(hours=hours),
        commit="0123456789abcdef", dirty=False, versions={"python": "3.11.9", "torch": "2.13.0"},
    )  # fmt: skip


def test_the_newest_trials_of_each_fault_are_kept(tmp_path):
    path = tmp_path / "faults.json"
    assert read_trials(path).rows == ()
    for trials in (made("b", 3, 1), made("a", 1000, 0), made("b", 5, 2, hours=1)):
        keep_trials(trials, path)
    assert read_trials(path).rows == (made("a", 1000, 0), made("b", 5, 2, hours=1))


def test_a_changed_record_is_not_read(tmp_path):
    path = tmp_path / "faults.json"
    keep_trials(made("a", 10, 3), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": []}))
    with pytest.raises(ValueError, match=r"faults\.json"):
        keep_trials(made("b", 1, 0), path)


def test_the_table():
    lines = trials_table([made("a fault", 1000, 3), made("b", 20, 0)]).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:5]] == ["a fault", "1,000", "997", "3"]
    assert lines[-1] == "1,020 trials, 3 lost. On: Example 3000, 2 cores, Python 3.11.9, torch 2.13.0."
    assert trials_table([]) == "No trials are recorded."
