"""Entropy, divergence and soft targets: the oracle, edge cases, identities."""

import nll_fast
import numpy as np
import pytest
from ml_dtypes import bfloat16
from nll_fast import reference

INF = np.inf
rng = np.random.default_rng(4)


def logits(rows, classes):
    return rng.standard_normal((rows, classes)) * 5


def distributions(rows, classes):
    return rng.dirichlet(np.ones(classes), rows)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, bfloat16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("classes", [1, 2, 7, 8, 33, 2050])
def test_against_the_oracle(classes, dtype):
    p, q = logits(9, classes).astype(dtype), logits(9, classes).astype(dtype)
    y = distributions(9, classes).astype(dtype)
    rtol = 1e-12 if dtype == np.float64 else 3e-7
    for name, arguments, keywords in (
        ("entropy", (p,), {}),
        ("kl_divergence", (p, q), {}),
        ("cross_entropy", (p, y), {}),
        ("cross_entropy", (p, y), {"label_smoothing": 0.1, "weight": np.linspace(0.5, 2, classes)}),
    ):
        got = getattr(nll_fast, name)(*arguments, reduction="none", **keywords)
        want = getattr(reference, name)(*arguments, reduction="none", **keywords)
        assert got.dtype == (np.float64 if dtype == np.float64 else np.float32)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-14)
        mean = getattr(nll_fast, name)(*arguments, reduction="mean", **keywords)
        # Exponentials of float32 logits are float32, added in float64.
        np.testing.assert_allclose(mean, want.mean(), rtol=1e-12 if dtype == np.float64 else 1e-7, atol=1e-14)


def test_cross_entropy_is_entropy_plus_divergence():
    p, q = logits(50, 300), logits(50, 300)
    soft = np.exp(nll_fast.log_softmax(p))
    whole = nll_fast.cross_entropy(q, soft, reduction="none")
    parts = nll_fast.entropy(p) + nll_fast.kl_divergence(p, q, reduction="none")
    np.testing.assert_allclose(whole, parts, rtol=1e-12)


def test_a_one_hot_target_is_its_class():
    x, target = logits(20, 40), rng.integers(0, 40, 20)
    x[0], target[0] = 0, 0
    x[0, 0] = 40
    hot = np.eye(40)[target]
    got, want = nll_fast.cross_entropy(x, hot, reduction="none"), nll_fast.cross_entropy(x, target, reduction="none")
    np.testing.assert_allclose(got, want, rtol=1e-14)


def test_divergence_is_never_negative_and_zero_for_equals():
    p = logits(200, 50)
    assert np.all(nll_fast.kl_divergence(p, p, reduction="none") == 0)
    nearby = p + 1e-9 * rng.standard_normal(p.shape)
    near = nll_fast.kl_divergence(p, nearby, reduction="none")
    assert np.all(near >= 0) and np.all(near < 1e-16)
    shifted = nll_fast.kl_divergence(p, p + 3, reduction="none")
    assert np.all(shifted >= 0) and np.all(shifted < 1e-28)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_far_apart(dtype):
    p, q = (logits(40, 300) * 12).astype(dtype), (logits(40, 300) * 12).astype(dtype)
    p[:, 17] = -INF
    p[3:9, 5] = q[6:12, 5] = -INF
    p[9:12, 5] = 90
    got = nll_fast.kl_divergence(p, q, reduction="none")
    want = reference.kl_divergence(p, q, reduction="none")
    assert (got[9:12] == INF).all() and np.isfinite(got[:9]).all()
    np.testing.assert_allclose(got, want, rtol=1e-12 if dtype == np.float64 else 3e-7)


def test_edges():
    kl = lambda p, q: nll_fast.kl_divergence(np.array([p]), np.array([q]))  # noqa: E731
    assert kl([0.0, -INF], [0.0, -INF]) == 0
    assert kl([0.0, 0.0], [0.0, -INF]) == INF
    np.testing.assert_allclose(kl([0.0, -INF], [0.0, 0.0]), np.log(2), rtol=1e-15)
    np.testing.assert_allclose(nll_fast.entropy([[0.0, 0.0, -INF]]), [np.log(2)], rtol=1e-15)
    assert np.isnan(nll_fast.entropy([[-INF, -INF], [INF, 0.0], [np.nan, 0.0]])).all()
    assert nll_fast.entropy([[3.0]])[0] == 0
    assert nll_fast.cross_entropy([[0.0, -INF]], [[1.0, 0.0]]) == 0
    assert nll_fast.cross_entropy([[0.0, -INF]], [[0.5, 0.5]]) == INF
    assert nll_fast.entropy(np.empty((0, 3))).shape == (0,)


def test_axes_strides_and_threads_share_their_bits():
    p, q = logits(3000, 60).astype(np.float32), logits(3000, 60).astype(np.float32)
    want = nll_fast.kl_divergence(p, q, reduction="none")
    assert np.array_equal(want, nll_fast.kl_divergence(p.T, q.T, axis=0, reduction="none"))
    assert nll_fast.kl_divergence(p[5:6], q[5:6], reduction="none")[0] == want[5]
    means = set()
    for threads in (1, 2, 5):
        nll_fast.set_num_threads(threads)
        means.add(nll_fast.kl_divergence(p, q))
    nll_fast.set_num_threads(0)
    assert len(means) == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, bfloat16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("classes", [1, 3, 40, 2100])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_grad(classes, smoothing, reduction, dtype):
    x, target = logits(7, classes).astype(dtype), rng.integers(0, classes, 7)
    target[2] = -100
    for weight in (None, np.linspace(0.5, 2, classes)):
        options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
        got = nll_fast.cross_entropy_grad(x, target, **options)
        want = reference.cross_entropy_grad(x, target, **options)
        tolerance = 1e-14 if dtype == np.float64 else 2e-7
        np.testing.assert_allclose(got, want, rtol=tolerance * 10, atol=tolerance)
        assert np.all(got[2] == 0)


def test_the_gradient_of_a_certain_target_keeps_its_digits():
    got = nll_fast.cross_entropy_grad([[40.0, 0.0]], [0])
    np.testing.assert_allclose(got, [[-4.248354255291589e-18, 4.248354255291589e-18]], rtol=1e-14)
    turned = nll_fast.cross_entropy_grad(np.float32([[40.0], [0.0]]), [0], axis=0)
    assert turned.shape == (2, 1) and turned[0, 0] == -turned[1, 0] < 0


def test_errors_are_sentences():
    with pytest.raises(ValueError, match="shapes must be equal"):
        nll_fast.kl_divergence(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(TypeError, match="class axis"):
        nll_fast.entropy(1.0)
    with pytest.raises(ValueError, match="axis is 2"):
        nll_fast.entropy(np.zeros((2, 3)), axis=2)


def test_the_entropy_of_a_nearly_certain_row_is_known_to_the_least_float32():
    for gap in (40, 80, 86, 88, 90, 95, 100, 102):
        x = np.float32([[0, -gap, -gap - 1, -gap - 30]])
        want = nll_fast.reference.entropy(x)
        np.testing.assert_allclose(nll_fast.entropy(x), want, rtol=2.5e-7, atol=1.5e-45)
        np.testing.assert_allclose(nll_fast.entropy(x, reduction="sum"), want[0], rtol=2.5e-7)
        y = np.float32([[0, -gap - 2, -gap, -gap]])
        want = nll_fast.reference.kl_divergence(x, y)
        np.testing.assert_allclose(nll_fast.kl_divergence(x, y), want, rtol=1e-6)
