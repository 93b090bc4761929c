"""Entropy, divergence and soft targets: identities, and rows far apart or nearly certain."""

import nll_fast
import numpy as np
import pytest
from nll_fast import reference

INF = np.inf


@pytest.fixture
def logits():
    """Draws rows, from a generator of the test's own."""
    r = np.random.default_rng(4)
    return lambda rows, classes: r.standard_normal((rows, classes)) * 5


def test_divergence_is_never_negative_and_zero_for_equals(logits):
    p = logits(200, 50)
    assert np.all(nll_fast.kl_divergence(p, p, reduction="none") == 0)
    nearby = p + 0.2e-9 * logits(200, 50)
    near = nll_fast.kl_divergence(p, nearby, reduction="none")
    assert np.all(near >= 0) and np.all(near < 1e-16)
    shifted = nll_fast.kl_divergence(p, p + 3, reduction="none")
    assert np.all(shifted >= 0) and np.all(shifted < 1e-28)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_far_apart(dtype, logits):
    p, q = (logits(40, 300) * 12).astype(dtype), (logits(40, 300) * 12).astype(dtype)
    p[:, 17] = -INF
    p[3:9, 5] = q[6:12, 5] = -INF
    p[9:12, 5] = 90
    got = nll_fast.kl_divergence(p, q, reduction="none")
    want = reference.kl_divergence(p, q, reduction="none")
    assert (got[9:12] == INF).all() and np.isfinite(got[:9]).all()
    np.testing.assert_allclose(got, want, rtol=1e-12 if dtype == np.float64 else 3e-7)


def test_the_entropy_of_a_nearly_certain_row_is_known_to_the_least_float32():
    for gap in (40, 80, 86, 88, 90, 95, 100, 102):
        x = np.float32([[0, -gap, -gap - 1, -gap - 30]])
        want = nll_fast.reference.entropy(x)
        np.testing.assert_allclose(nll_fast.entropy(x), want, rtol=2.5e-7, atol=1.5e-45)
        assert nll_fast.entropy(x, reduction="sum") == nll_fast.entropy(x)[0]
        y = np.float32([[0, -gap - 2, -gap, -gap]])
        want = nll_fast.reference.kl_divergence(x, y)
        np.testing.assert_allclose(nll_fast.kl_divergence(x, y), want, rtol=1e-6, atol=1.5e-45)
