import json
from pathlib import Path

import pytest
from filelock import FileLock

from gc2l.campaign.agent import open_jobs, run_agent
from gc2l.campaign.sweep import read_sweep
from gc2l.files import write_checked

PRESETS = Path(__file__).parents[2] / "experiments" / "presets"
SLUGS = [f"digits-wide_resnet_cifar-10x2-{name}-seed{seed}" for seed in (1, 2) for name in ("sc-n1", "gc-n2")]


@pytest.fixture
def jobs(folder):
    return open_jobs(read_sweep(folder / "sweep.yaml"), PRESETS)


@pytest.fixture
def runner(jobs):
    """Stands in for the running of a command; its `slugs` are what it ran."""

    def run(command):
        (job,) = [job for job in jobs if job.command == command]
        run.slugs.append(job.cell.slug)
        return run.status.get(job.cell.slug, 0)

    run.slugs, run.status = [], {}
    return run


def test_every_cell_is_run_once_in_the_sweeps_order(jobs, runner):
    assert run_agent(jobs, count=None, run=runner) == 0
    assert runner.slugs == SLUGS


def test_count_limits_what_one_agent_runs(jobs, runner):
    run_agent(jobs, count=3, run=runner)
    assert runner.slugs == SLUGS[:3]


def test_a_failed_cell_is_counted_not_repeated_and_stops_nothing(jobs, runner, capsys):
    runner.status = {SLUGS[1]: 2, SLUGS[2]: 130}
    assert run_agent(jobs, count=None, run=runner) == 2
    assert runner.slugs == SLUGS
    assert f"{SLUGS[1]} ended with exit status 2" in capsys.readouterr().err


def test_cells_of_other_agents_are_passed_over_and_named(jobs, runner, capsys):
    with jobs[0].store.claim(jobs[0].cell) as held, jobs[2].store.exclusive(jobs[2].cell, waiting=print):
        assert held
        run_agent(jobs, count=None, run=runner)
    assert runner.slugs == [SLUGS[1], SLUGS[3]]
    told = capsys.readouterr().err
    assert f"{SLUGS[0]} is left to another agent" in told
    assert f"{SLUGS[2]} is left to another agent" in told


def test_a_cell_that_another_agent_was_running_is_run_once_that_agent_is_gone(jobs, runner):
    other = jobs[0].store.claim(jobs[0].cell)
    other.__enter__()

    def run(command):
        if not runner.slugs:
            other.__exit__(None, None, None)
        return runner(command)

    run_agent(jobs, count=None, run=run)
    assert runner.slugs == [SLUGS[1], SLUGS[0], SLUGS[2], SLUGS[3]]


def test_cells_that_got_a_record_meanwhile_are_not_run(jobs, runner, folder):
    _, _, record, content, _ = json.loads((folder / "plan.json").read_text())[" ".join(jobs[1].command[3:])]
    write_checked(Path(record), content)
    run_agent(jobs, count=None, run=runner)
    assert runner.slugs == [SLUGS[0], *SLUGS[2:]]
    still_open = open_jobs(read_sweep(folder / "sweep.yaml"), PRESETS)
    assert [job.cell.slug for job in still_open] == [SLUGS[0], *SLUGS[2:]]


def test_the_claim_is_held_while_the_cell_runs(jobs):
    def run(command):
        (job,) = [job for job in jobs if job.command == command]
        lock = FileLock(job.store.folder / ".locks" / f"{job.cell.identity}.claim")
        with pytest.raises(TimeoutError):
            lock.acquire(timeout=0)
        return 0

    assert run_agent(jobs, count=1, run=run) == 0


def test_a_sweep_that_lists_a_cell_twice_is_refused(folder):
    path = folder / "sweep.yaml"
    path.write_text(path.read_text().replace("- gc-n2", "- sc-n1"))
    with pytest.raises(ValueError, match=f"lists {SLUGS[0]} more than once"):
        open_jobs(read_sweep(path), PRESETS)
