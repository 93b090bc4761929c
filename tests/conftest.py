"""What ran, and what did not: a test that a machine cannot run is named at the end, never passed over."""

import importlib.util
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import nll_fast
import numpy as np
import pytest
from nll_fast import _core, cli

ROOT = Path(__file__).parent.parent
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A script's background job ignores Ctrl-C, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
PEERS = ("torch", "jax", "scipy", "sklearn", "xgboost", "numexpr", "lightgbm")
INSTRUCTION_SETS = ("avx512", "avx2", "neon", "baseline")


def missing():
    """(what, why): the peers and instruction sets that no test here can have met."""
    for peer in PEERS:
        if importlib.util.find_spec(peer) is None:
            yield peer, "not installed"
    for level in INSTRUCTION_SETS:
        if level not in _core.simd_levels():
            yield level, f"this {platform.machine()} CPU does not have it"


def pytest_report_header():
    return (
        f"nll_fast: SIMD level {_core.simd_level()} of {', '.join(_core.simd_levels())}; "
        f"{_core.get_num_threads()} threads, {os.cpu_count()} cores"
    )


def pytest_terminal_summary(terminalreporter):
    for what, why in missing():
        terminalreporter.write_line(f"did not run: {what}: {why}")


@pytest.fixture
def threads():
    """Sets how many threads compute; afterwards they are as many as before."""
    yield nll_fast.set_num_threads
    nll_fast.set_num_threads(0)


@pytest.fixture(scope="session")
def real_logits():
    return np.load(ROOT / "examples/smollm2_logits.npy"), np.load(ROOT / "examples/smollm2_targets.npy")


@pytest.fixture
def example(tmp_path):
    """Logits and targets, one of them ignored, and the folder where they lie as x.npy and t.npy."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((50, 300)).astype(np.float32), rng.integers(0, 300, 50)
    t[7] = -100
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    return x, t, tmp_path


def score(*arguments):
    """The exit code of ``nll-fast score`` in this process."""
    return cli.main(["score", *map(str, arguments)])


def run(*arguments, **options):
    """``nll-fast`` in a process of its own."""
    command = [sys.executable, "-m", "nll_fast", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)
