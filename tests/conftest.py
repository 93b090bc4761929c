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


def shared(name):
    """The folder ``data/name``, of data too large for the repository, in the folder that $NLL_FAST_SHARED names."""
    parent = os.environ.get("NLL_FAST_SHARED")
    if parent is None or not (Path(parent) / "data" / name).is_dir():
        pytest.skip(f"NLL_FAST_SHARED names no folder with data/{name}")
    return Path(parent) / "data" / name


def write_llama(path, log_probs, tokens, magic=b"_logits_"):
    """Write ``[chunk, row, class]`` as llama.cpp does, and return what its codes decode to."""
    rows, classes = log_probs.shape[1:]
    top, odd = log_probs.max(-1, keepdims=True), classes % 2
    least = np.maximum(log_probs.min(-1, keepdims=True), top - 16).astype("<f4")
    scale = ((top - least) / 65535).astype("<f4")
    with np.errstate(all="ignore"):
        codes = np.where(log_probs > least, np.round((log_probs - least) / scale), 0).clip(0, 65535)
    codes = np.nan_to_num(codes).astype("<u2")
    pad = np.full((len(log_probs), rows, odd), 777, "<u2")
    words = np.concatenate([scale.view("<u2"), least.view("<u2"), codes, pad], -1)
    header = np.array([tokens.shape[1], classes, len(log_probs)], "<i4")
    path.write_bytes(magic + header.tobytes() + tokens.astype("<i4").tobytes() + words.tobytes())
    return scale * codes.astype(np.float32) + least


@pytest.fixture
def llama(tmp_path):
    """A file of llama.cpp of 3 chunks of 12 tokens and 33 classes: its path, its logits decoded, its tokens."""
    rng = np.random.default_rng(11)
    x, tokens = rng.standard_normal((3, 5, 33)) * 6, rng.integers(0, 33, (3, 12))
    x -= np.log(np.exp(x).sum(-1, keepdims=True))
    return tmp_path / "x.kld", write_llama(tmp_path / "x.kld", x, tokens), tokens
