"""Trials of what can go wrong: a few of each in the suite; `make torture` makes many and prints how many held."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", type=float, metavar="SHARE", help="this share of the long campaign's trials")
    parser.addoption("--row-seconds", type=float, default=3600, help="no more trials of a row after so long")


@dataclass
class Trials:
    """Runs the trials of one test; attributes: share of the long campaign (None: the short one), rows of the table."""

    share: float | None
    seconds: float
    rows: list[tuple[str, int, int]] = field(default_factory=list)

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
            except Exception as error:
                lost.append(f"trial {number}: {type(error).__name__}: {error}")
        self.rows.append((row, wanted, len(lost)))
        assert not lost, f"{len(lost)} of {wanted} trials of {row!r} were lost:\n" + "\n".join(lost[:5])


@pytest.fixture
def trials(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Trials:
    made = Trials(request.config.getoption("--torture", default=None), request.config.getoption("--row-seconds", 3600))
    request.addfinalizer(lambda: record_property("trials", made.rows))
    return made


def pytest_terminal_summary(terminalreporter, config) -> None:
    if config.getoption("--torture", default=None) is None:
        return
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = sorted(
        {tuple(row) for report in reports for name, rows in report.user_properties if name == "trials" for row in rows}
    )
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    terminalreporter.section("trials")
    terminalreporter.write_line(f"{'fault':70} {'trials':>7} {'held':>7} {'lost':>7}")
    for row, count, lost in rows:
        terminalreporter.write_line(f"{row:70} {count:7} {count - lost:7} {lost:7}")
    for reason in skipped:
        terminalreporter.write_line(f"not tried: {reason}")
