"""How a script ends: its status, and what a signal does to it."""

import os
import signal
import time

from gc2l.campaign.script import STOP_SIGNALS, run_script

import pytest


@pytest.fixture(autouse=True)
def handlers():
    """Put back the handlers that a script replaces."""
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_DFL)
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def status(script):
    with pytest.raises(SystemExit) as ended:
        run_script(script)
    return ended.value.code


def send(signum):
    os.kill(os.getpid(), signum)
    time.sleep(0)  # Python runs the handler at its next step


@pytest.mark.parametrize(("name", "expected"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", None)])
def test_a_stopped_script_ends_with_128_and_the_signals_number(name, expected, capsys):
    signum = getattr(signal, name)
    assert status(lambda: send(signum) or 0) == 128 + signum == (expected or 128 + signum)
    assert capsys.readouterr().err == "stopped; the same command continues where it was\n"


def test_ctrl_c():
    def script():
        raise KeyboardInterrupt

    assert status(script) == 130


def test_further_signals_do_not_break_off_the_orderly_end():
    done = []

    def script():
        try:
            send(signal.SIGUSR1)
        finally:
            send(signal.SIGTERM)
            send(signal.SIGUSR1)
            done.append("in order")

    assert status(script) == 128 + signal.SIGUSR1
    assert done == ["in order"]


def test_a_signal_that_is_ignored_stays_so():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    assert status(lambda: send(signal.SIGHUP) or 3) == 3


@pytest.mark.parametrize("error", [ValueError("groups=3"), FileNotFoundError("images")])
def test_what_the_user_can_mend_is_told_in_one_line(error, capsys):
    def script():
        raise error

    assert status(script) == 2
    assert capsys.readouterr().err == f"error: {error}\n"
