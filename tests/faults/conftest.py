"""Trials of what can go wrong: a few of each in the suite; `make torture` makes many and prints how many held."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults.runs import THREE_EPOCHS, end, run_alone, start

from gc2l.records import Trials, describe_environment, keep_trials

ROOT = Path(__file__).parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", type=float, metavar="SHARE", help="this share of the long campaign's trials")
    parser.addoption("--row-seconds", type=float, default=3600, help="no more trials of a row after so long")
    parser.addoption("--trials-record", type=Path, metavar="FILE", help="keep the table of the long campaign there")


def pytest_configure(config: pytest.Config) -> None:
    record = config.getoption("--trials-record", default=None)
    if record is not None and not hasattr(config, "workerinput"):  # with xdist, the controller alone keeps it
        config.pluginmanager.register(_Keeper(record))


class _Keeper:
    def __init__(self, record: Path) -> None:
        self.record, self.environment = record, describe_environment(ROOT)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a row as soon as it is there."""
        for name, row in report.user_properties if report.when == "call" else []:
            if name == "trials":
                fault, trials, lost, seconds = row
                about = {name: getattr(self.environment, name) for name in ("commit", "dirty", "versions", "hardware")}
                made = datetime.now(UTC)
                keep_trials(
                    Trials(fault=fault, trials=trials, lost=lost, seconds=seconds, made=made, **about), self.record
                )


@dataclass
class Campaign:
    """Runs the trials of one test.

    Attributes:
        share: of the long campaign; None for the short one.
        seconds: after which no more trials are begun than the short campaign has.
        record: takes a row of the table.
    """

    share: float | None
    seconds: float
    record: Callable[[str, object], None]

    @property
    def long(self) -> bool:
        """Whether this is the long campaign."""
        return self.share is not None

    def run(self, row: str, trial: Callable[[random.Random], None], *, short: int, long: int) -> None:
        """Make trials, each with random numbers of its own; all of them, then fail if one did not hold."""
        wanted = short if self.share is None else max(short, round(long * self.share))
        lost, begun = [], time.monotonic()
        for number in range(wanted):
            if number >= short and time.monotonic() - begun > self.seconds:
                wanted = number
                break
            try:
                trial(random.Random(f"{row} {number}"))
            except (Exception, pytest.fail.Exception) as error:
                lost.append(f"trial {number}: {type(error).__name__}: {error}")
        self.record("trials", (row, wanted, len(lost), time.monotonic() - begun))
        assert not lost, f"{len(lost)} of {wanted} trials of {row!r} were lost:\n" + "\n".join(lost[:5])


@pytest.fixture
def trials(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Campaign:
    option = request.config.getoption
    return Campaign(option("--torture", default=None), option("--row-seconds", 3600), record_property)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of `THREE_EPOCHS`, trained by a process that nobody disturbed, and its seconds."""
    folder = tmp_path_factory.mktemp("whole")
    begun = time.monotonic()
    assert end(start(run_alone, THREE_EPOCHS, folder)) == 0
    return folder, time.monotonic() - begun


def pytest_terminal_summary(terminalreporter, config) -> None:
    if config.getoption("--torture", default=None) is None:
        return
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = sorted(tuple(row) for report in reports for name, row in report.user_properties if name == "trials")
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    terminalreporter.section("trials")
    terminalreporter.write_line(f"{'fault':70} {'trials':>7} {'held':>7} {'lost':>7}")
    for row, count, lost, _ in rows:
        terminalreporter.write_line(f"{row:70} {count:7} {count - lost:7} {lost:7}")
    for reason in skipped:
        terminalreporter.write_line(f"not tried: {reason}")
