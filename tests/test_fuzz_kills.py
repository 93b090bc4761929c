"""A sample of the kills of ``python -m tests.fuzz.kills``, and one that it meets by chance."""

import os
import signal
import subprocess
import sys

import pytest


@pytest.mark.skipif(os.name != "posix", reason="this system has no signals that end a process")
def test_a_killed_command_leaves_a_whole_output_or_none():
    from .fuzz import kills  # which names these signals

    outcomes, faults = kills.run_cases(0, range(16))
    assert not faults and sum(outcomes.values()) == 16


LOST = """
import signal, sys, weakref
import nll_fast_command

class Thing: pass

def command():
    seen = weakref.ref(Thing(), lambda _: signal.raise_signal(signal.SIGINT))
    return 0

nll_fast_command._command = lambda: command
sys.exit(nll_fast_command.main())
"""


@pytest.mark.skipif(os.name != "posix", reason="ends by a signal")
def test_an_interrupt_that_python_cannot_raise_ends_the_command_in_silence():
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (-signal.SIGINT, "")
