"""Equal means ==: threads, strides, batches, levels, and totals."""

import hashlib
import math
import os
import subprocess
import sys

import nll_fast
import numpy as np
import pytest
from nll_fast import _core

rng = np.random.default_rng(3)
X = (rng.standard_normal((70, 5003)) * 8).astype(np.float32)
T = rng.integers(0, 5003, 70)


def losses(x, t, **options):
    return nll_fast.cross_entropy(x, t, reduction="none", **options)


@pytest.fixture(autouse=True)
def threads():
    yield
    nll_fast.set_num_threads(0)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_threads_and_totals(dtype):
    x = X.astype(dtype)
    seen = set()
    for n in (1, 2, 5):
        nll_fast.set_num_threads(n)
        assert nll_fast.get_num_threads() == n
        seen.add((losses(x, T).tobytes(), nll_fast.cross_entropy(x, T), nll_fast.logsumexp(x).tobytes()))
    assert len(seen) == 1


def test_strides():
    want = losses(X, T)
    wide = np.zeros((140, 10006), np.float32)
    wide[::2, ::2] = X
    assert (losses(wide[::2, ::2], T) == want).all()
    assert (losses(np.asfortranarray(X), T) == want).all()
    assert (losses(X.T.copy(), T, axis=0) == want).all()
    assert (losses(X[::-1, ::-1][::-1, ::-1], T) == want).all()
    backwards = X[:, ::-1].copy()[:, ::-1]
    assert (losses(backwards, T) == want).all()
    cube = X.reshape(2, 35, 5003)
    assert (losses(cube.transpose(0, 2, 1).copy(), T.reshape(2, 35), axis=1).ravel() == want).all()
    shifted = losses(cube[:, :-1], T.reshape(2, 35)[:, :-1])
    assert (shifted == want.reshape(2, 35)[:, :-1]).all()
    readonly = X.copy()
    readonly.flags.writeable = False
    assert (losses(readonly, T) == want).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_that_no_cache_holds_are_those_of_their_parts(dtype):
    """From 32 MiB on, results are written past the caches: here, from the middle of a cache line on."""
    n = (33 << 20) // np.dtype(dtype).itemsize
    logits = (rng.standard_normal(n) * 8).astype(dtype)
    target = (logits > 1).astype(dtype)
    out = np.empty(n + 3, dtype)[3:]

    def bce(x, y, **more):
        return nll_fast.binary_cross_entropy_with_logits(x, y, reduction="none", hess="exact", **more)

    parts = [slice(start, start + 1_000_003) for start in range(0, n, 1_000_003)]
    whole = bce(logits, target)
    for k, pieces in enumerate(zip(*(bce(logits[part], target[part]) for part in parts), strict=True)):
        assert np.array_equal(whole[k], np.concatenate(pieces))
    assert nll_fast.log_sigmoid(logits, out=out) is out
    assert np.array_equal(out, np.concatenate([nll_fast.log_sigmoid(logits[part]) for part in parts]))
    rows, classes = n // 5003, 5003
    x, t = logits[: rows * classes].reshape(rows, classes), np.arange(rows) % classes
    t[::3] = -100
    rows = [slice(start, start + 500) for start in range(0, rows, 500)]
    grads = [nll_fast.cross_entropy_grad(x[part], t[part], reduction="sum") for part in rows]
    assert np.array_equal(nll_fast.cross_entropy_grad(x, t, reduction="sum"), np.concatenate(grads))


def test_a_row_alone_and_in_its_batch():
    want = losses(X, T)
    assert all(losses(X[i], np.array(T[i])) == want[i] for i in range(70))


def test_the_sum_is_exact():
    exact = losses(X, T, out=np.empty(70))
    assert nll_fast.cross_entropy(X, T, reduction="sum") == math.fsum(exact)
    assert nll_fast.cross_entropy(X, T) == math.fsum(exact) / 70


def test_exact_sum_of_anything():
    values = rng.standard_normal(3000) * 10.0 ** rng.integers(-300, 300, 3000)
    values[:9] = [5e-324, -5e-324, 2.3e-308, 1e308, -1e308, 0.0, -0.0, 1.0, 2.0**-53]
    for n in (1, 3, 9, 500, 3000):
        got = nll_fast.nll_loss(-values[:n, None], np.zeros(n, int), reduction="sum")
        assert got == math.fsum(values[:n])


SCRIPT = """
import hashlib, numpy as np, nll_fast
rng = np.random.default_rng(3)
x = (rng.standard_normal((70, 5003)) * 8); t = rng.integers(0, 5003, 70)
h = hashlib.sha256()
for dtype in ("f2", "f4", "f8"):
    h.update(nll_fast.cross_entropy(x.astype(dtype), t, reduction="none").tobytes())
    h.update(nll_fast.logsumexp(x.astype(dtype)).tobytes())
    h.update(np.float64(nll_fast.cross_entropy(x.astype(dtype), t, label_smoothing=0.1)).tobytes())
print(nll_fast.simd_level(), h.hexdigest())
"""


def test_levels():
    """Every level with fused multiply-add that this CPU has gives the same bits; which ran is printed."""
    seen = {}
    for level in _core.simd_levels():
        command = [sys.executable, "-c", SCRIPT]
        environment = {**os.environ, "NLL_FAST_SIMD": level}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
        name, digest = done.stdout.split()
        assert name == level
        seen[level] = digest
    print("levels that ran:", ", ".join(seen))
    assert len({digest for level, digest in seen.items() if level != "baseline"}) <= 1
    assert len(hashlib.sha256().hexdigest()) == len(seen["baseline"])


def test_unknown_level_is_named():
    command = [sys.executable, "-c", "import nll_fast; nll_fast.simd_level()"]
    done = subprocess.run(
        command, env={**os.environ, "NLL_FAST_SIMD": "mmx"}, capture_output=True, text=True, timeout=60
    )
    assert 'NLL_FAST_SIMD is "mmx"' in done.stderr
