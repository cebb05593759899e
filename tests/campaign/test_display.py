"""The grid's display, in a log and in a terminal."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from small_run import cell

from gc2l.campaign import display
from gc2l.campaign.display import GridDisplay
from gc2l.campaign.labels import cell_labels
from gc2l.training import Progress

FIRST, SECOND = (replace(cell(), seed=seed) for seed in (1, 2))


@pytest.fixture
def now(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    return clock


def shown(*, terminal: bool, width: int = 160) -> tuple[GridDisplay, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=width, highlight=False, soft_wrap=True)
    return GridDisplay(4, cell_labels([FIRST, SECOND]), console), text


def at(share: float, epoch: int = 1) -> Progress:
    return Progress(epoch=epoch, epochs=4, share=share, images_per_second=1234.5)


def test_time_left_follows_from_the_share_of_the_work_done(now):
    one, _ = shown(terminal=False)
    one.started(FIRST)
    one.started(SECOND)
    assert one.left() == "?"
    now[0] += 10
    one.progressed(FIRST, at(0.25))
    one.progressed(SECOND, at(0.25))
    assert one.left() == "0:01:10"  # half a cell in 10 s, 3.5 cells to go
    one.ended(FIRST, "done", failed=False)
    assert one.left() == "0:00:22"  # 1.25 cells in 10 s, 2.75 to go


def test_what_a_continued_run_had_done_before_does_not_count_as_pace(now):
    one, _ = shown(terminal=False)
    one.started(FIRST)
    now[0] += 10
    one.progressed(FIRST, at(0.75, epoch=3))  # its checkpoint was that of epoch 2
    assert one.left() == "0:02:10"  # a quarter in 10 s, 3.25 to go


def test_a_log_has_lines_and_now_and_then_what_is_running(now):
    one, text = shown(terminal=False)
    with one.showing():
        one.started(FIRST)
        one.progressed(FIRST, at(0.5))
        one.refresh()
        now[0] += 61
        one.refresh()
        one.refresh()
        one.ended(FIRST, "FAILED: [no] memory", failed=True)
    lines = text.getvalue().splitlines()
    assert lines[0] == f"[1/4] {FIRST.slug} ..."
    assert lines[1] == f"0 of 4 cells done, 1 running, 0:07:07 left: {FIRST.slug} epoch 1/4, 1234 images/s"
    assert lines[2].startswith(f"[1/4] {FIRST.slug}: FAILED: [no] memory; about ")
    assert len(lines) == 3


@pytest.mark.parametrize("width", [160, 80])
def test_a_terminal_has_a_table_of_what_is_running(now, width):
    one, text = shown(terminal=True, width=width)
    with one.showing():
        one.started(FIRST)
        one.started(SECOND)
        one.progressed(FIRST, at(0.5, epoch=2))
        now[0] += 5
        one.refresh()
        table = text.getvalue()
        one.ended(FIRST, "test error 4.00 %", failed=False)
    assert "0 of 4 cells done, 2 running" in table
    for word in (FIRST.slug, "epoch 2/4", "1234 images/s", SECOND.slug, "starting", "0:00:05"):
        assert word in table
    assert f"[1/4] {FIRST.slug}: test error 4.00 %" in text.getvalue()
    assert not [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", table).splitlines() if len(line) >= width]
