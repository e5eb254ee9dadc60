"""Signals: held back while something must not be cut in two, and heard afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from fer_cli.attempts import attempt, given_up
from fer_cli.signals import end_on_sigterm, ending, hold_signals, limit_time

pytestmark = pytest.mark.usefixtures("usual_handlers")


def test_a_signal_waits_for_the_end_of_the_work_and_is_heard_then() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with hold_signals():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("work")
        done.append("more")
    assert done == ["work"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_ends_in_order_after_the_work() -> None:
    done = []
    end_on_sigterm()
    with pytest.raises(SystemExit) as end, hold_signals(), hold_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("work")
    assert end.value.code == 128 + signal.SIGTERM
    assert done == ["work"]
    assert ending.is_set()


def test_sigterm_counts_where_both_have_come() -> None:
    end_on_sigterm()
    with pytest.raises(SystemExit), hold_signals():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert ending.is_set()


def test_an_error_of_the_work_is_not_lost() -> None:
    with pytest.raises(ValueError, match="mine"), hold_signals():
        raise ValueError("mine")


def test_other_threads_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with hold_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_time_that_is_over_is_no_failure_of_the_store_that_was_being_called() -> None:
    """The limit of a run may end it during a call that survives any error: it ends the run, and the store is kept."""
    done = []
    with pytest.raises(TimeoutError), limit_time(0.1):
        attempt("sqlite:///slow", lambda: time.sleep(0.3), "lost")
        done.append("trained on")
    assert done == []
    assert "sqlite:///slow" not in given_up
    with pytest.raises(TimeoutError), limit_time(0.1):
        with suppress(Exception):
            time.sleep(0.3)
        done.append("trained on")
    assert done == []


def test_ctrl_c_while_the_program_is_imported_is_one_line() -> None:
    code = (
        "import sys\n"
        "class Late:\n"
        "    def find_spec(name, path, target=None):\n"
        "        if name == 'fer_cli.cli': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Late)\n"
        "from fer_cli.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
