"""Every dtype and size against the float64 oracle, in ulps."""

import nll_fast
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from ml_dtypes import bfloat16
from nll_fast import reference

SIZES = [1, 2, 31, 32, 33, 64, 1000, 2047, 2048, 2049, 5000]


def ulps(got, want, dtype="float32"):
    want = np.asarray(want, np.float64)
    spacing = np.spacing(np.abs(want).astype(dtype)).astype(np.float64)
    return np.max(np.abs(np.asarray(got, np.float64) - want) / spacing, initial=0.0)


def example(classes, offset, dtype, rows=20):
    rng = np.random.default_rng(classes)
    x = (rng.standard_normal((rows, classes)) * 6 + offset).astype(dtype)
    target = rng.integers(0, classes, rows)
    target[::2] = x.astype(np.float64).argmax(-1)[::2]
    return x, target


@pytest.mark.parametrize("dtype", [np.float32, np.float16, bfloat16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("offset", [0, 1e4])
@pytest.mark.parametrize("classes", SIZES)
def test_losses_are_within_two_ulp_of_float32(classes, offset, dtype):
    x, target = example(classes, offset, dtype)
    want = reference.cross_entropy(x, target, reduction="none")
    got = nll_fast.cross_entropy(x, target, reduction="none")
    assert got.dtype == np.float32
    assert ulps(got, want) <= 2
    assert ulps(nll_fast.token_log_probs(x, target), -want) <= 2
    np.testing.assert_allclose(nll_fast.cross_entropy(x, target), want.mean(), rtol=1e-7)
    lse = reference.logsumexp(x)
    assert np.all(np.abs(nll_fast.logsumexp(x) - lse) <= 2 * np.spacing(np.maximum(np.abs(lse), 1, dtype="f4")))


@pytest.mark.parametrize("classes", SIZES)
def test_float64_losses(classes):
    x, target = example(classes, 0, np.float64)
    want = reference.cross_entropy(x, target, reduction="none")
    got = nll_fast.cross_entropy(x, target, reduction="none")
    assert got.dtype == np.float64
    # The oracle itself rounds `max − x` and the product with e^that: allow for both.
    np.testing.assert_allclose(got, want, rtol=1e-14)


def test_real_logits(real_logits):
    x, target = real_logits
    want = reference.cross_entropy(x, target, reduction="none")
    assert ulps(nll_fast.cross_entropy(x, target, reduction="none"), want) <= 2
    np.testing.assert_allclose(nll_fast.cross_entropy(x, target), want.mean(), rtol=1e-7)
    np.testing.assert_allclose(nll_fast.perplexity(x, target), np.exp(want.mean()), rtol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_options(weighted, smoothing, reduction):
    x, target = example(37, 3, np.float64)
    target[3] = -100
    weight = np.linspace(0.5, 2, 37) if weighted else None
    options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
    got = nll_fast.cross_entropy(x, target, **options)
    np.testing.assert_allclose(got, reference.cross_entropy(x, target, **options), rtol=1e-13)


def test_log_softmax():
    for dtype in (np.float32, np.float64, np.float16):
        x, _ = example(700, 0, dtype, rows=5)
        got = nll_fast.log_softmax(x)
        want = reference.log_softmax(x)
        assert ulps(got, want, got.dtype) <= (2 if got.dtype == np.float32 else 64)
    np.testing.assert_array_equal(nll_fast.log_softmax(x.T, axis=0), nll_fast.log_softmax(x).T)


@pytest.mark.parametrize("name", ["nll_loss", "categorical_nll"])
def test_gathers(name):
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(9), (4, 5))
    x = np.log(p) if name == "nll_loss" else p
    target = rng.integers(0, 9, (4, 5))
    target[1, 1] = -100
    for options in ({}, {"weight": np.arange(9.0)}, {"reduction": "sum"}, {"reduction": "none"}):
        got = getattr(nll_fast, name)(x, target, **options)
        want = getattr(reference, name)(x, target, **options)
        np.testing.assert_allclose(got, want, rtol=1e-14)


finite = st.floats(-1e4, 1e4, width=32) | st.just(-np.inf)


@settings(max_examples=200, deadline=None)
@given(npst.arrays(np.float32, st.integers(1, 150), elements=finite), st.data())
def test_any_row(x, data):
    target = data.draw(st.integers(0, len(x) - 1))
    want = reference.cross_entropy(x, target, reduction="none")
    got = nll_fast.cross_entropy(x, np.array(target), reduction="none")
    if np.isfinite(want):
        assert got >= 0
        assert abs(got - want) <= max(2 * np.spacing(np.float32(want)), 3e-45)
    else:
        np.testing.assert_array_equal(got, want.astype(np.float32))
