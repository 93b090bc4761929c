"""A sample of the kills of ``python -m tests.fuzz.kills``."""

import os

import pytest


@pytest.mark.skipif(os.name != "posix", reason="this system has no signals that end a process")
def test_a_killed_command_leaves_a_whole_output_or_none():
    from .fuzz import kills  # which names these signals

    outcomes, faults = kills.run_cases(0, range(16))
    assert not faults and sum(outcomes.values()) == 16
