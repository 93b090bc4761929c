"""Several axes at once, none, or no classes, as SciPy has them; and one row, whose result is a number."""

import json
import tracemalloc

import nll_fast as f
import numpy as np
import pytest
from nll_fast import reference

from .cases import CASES, DTYPES

X = np.random.default_rng(6).standard_normal((3, 4, 5, 6)) * 3
AXES = [None, 0, -1, (1, 2), (2, 1), (-1, 0), (0, 1, 2, 3), (3,), ()]
VIEWS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "turned": lambda x: x.transpose(2, 0, 3, 1).copy().transpose(1, 3, 0, 2),
    "a part": lambda x: np.pad(x, 1)[1:-1, 1:-1, 1:-1, 1:-1],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_several_axes_are_summed_over_at_once(axis, keepdims, view):
    every = tuple(range(4)) if axis is None else axis
    want = np.log(np.exp(X).sum(axis=every, keepdims=keepdims))
    got = f.logsumexp(VIEWS[view](X), axis=axis, keepdims=keepdims)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-14)
    np.testing.assert_array_equal(got, f.logsumexp(X, axis=axis, keepdims=keepdims))  # bit for bit
    np.testing.assert_allclose(reference.logsumexp(X, axis=axis, keepdims=keepdims), want, rtol=1e-14)
    if not keepdims:
        out = np.empty(want.shape)
        assert f.logsumexp(VIEWS[view](X), axis=axis, out=out) is out
        np.testing.assert_array_equal(out, got)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("axis", AXES)
def test_shares_of_several_axes_lie_where_their_logits_do(axis, view):
    every = tuple(range(4)) if axis is None else axis
    want = X - np.log(np.exp(X).sum(axis=every, keepdims=True))
    got = f.log_softmax(VIEWS[view](X), axis=axis)
    assert got.shape == X.shape
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(got, f.log_softmax(X, axis=axis))
    np.testing.assert_allclose(reference.log_softmax(X, axis=axis), want, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("axis", [None, (2, 3), (3, 2), (0, 1, 2, 3), -1])
def test_shares_of_the_last_axes_are_written_to_out(axis):
    out = np.empty(X.shape)
    assert f.log_softmax(X, axis=axis, out=out) is out
    np.testing.assert_array_equal(out, f.log_softmax(X, axis=axis))
    with pytest.raises(ValueError, match=r"out has shape \(360,\), but the result has \(3, 4, 5, 6\)"):
        f.log_softmax(X, axis=axis if axis != -1 else None, out=np.empty(360))
    with pytest.raises(ValueError, match=r"out needs .* not axis \(0, 1\)"):
        f.log_softmax(X, axis=(0, 1), out=out)


def test_neighbouring_axes_are_no_copy_of_the_logits():
    x = np.zeros((64, 128, 128), np.float32)
    for axis in (None, (1, 2), (0, 1)):
        tracemalloc.start()
        f.logsumexp(x, axis=axis)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 20


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_logarithm_of_an_empty_sum(dtype):
    kind = np.float64 if dtype == "float64" else np.float32
    for library in (f, reference):
        for shape, axis in (((0,), -1), ((3, 0), 1), ((3, 0, 2), (0, 1)), ((2, 0), None), ((0, 3), 1)):
            x = np.zeros(shape, DTYPES[dtype])
            got = library.logsumexp(x, axis=axis)
            assert got.shape == np.sum(np.zeros(shape), axis=axis).shape and np.all(np.isneginf(got))
            assert library.log_softmax(x, axis=axis).shape == shape
    got = f.logsumexp(np.zeros((3, 0), DTYPES[dtype])), f.log_softmax(np.zeros((3, 0), DTYPES[dtype]))
    assert [result.dtype for result in got] == [kind, kind]
    out = np.zeros(3)
    assert f.logsumexp(x.reshape(3, 0), out=out) is out and np.all(np.isneginf(out))
    with pytest.raises(ValueError, match=r"out has shape \(3,\), but the result has \(2,\)"):
        f.logsumexp(x.reshape(2, 0), out=out)


@pytest.mark.parametrize("axis", [None, -1, 0, ()])
def test_a_number_without_axes_is_a_row_of_one_class(axis):
    for x in (1.5, np.float32(1.5), np.array(1.5), -np.inf):
        assert f.logsumexp(x, axis=axis) == reference.logsumexp(x, axis=axis) == x
    assert f.log_softmax(1.5, axis=axis) == reference.log_softmax(1.5, axis=axis) == 0
    assert f.log_softmax(np.float32(1.5), axis=axis).dtype == np.float32


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", ">i4", "u4", "i8", "u8"])
def test_integers_are_summed_as_float64(dtype):
    x = np.array([[1, 0], [1, 1]], dtype)
    for call in (f.logsumexp, f.log_softmax):
        got, want = call(x), call(x.astype(np.float64))
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(call(x.tolist()), want)
        with pytest.raises(TypeError, match=r"logits has dtype uint16; .* nll_fast.as_bfloat16\(logits\)"):
            call(x.astype(np.uint16))


@pytest.mark.parametrize("call", [f.logsumexp, f.log_softmax])
def test_an_axis_that_is_none_of_the_logits_is_named(call):
    with pytest.raises(ValueError, match=r"axis is \(0, 4\), but logits has shape \(3, 4, 5, 6\)"):
        call(X, axis=(0, 4))
    with pytest.raises(ValueError, match="axis is 1, but logits has shape"):
        call(1.5, axis=1)
    with pytest.raises(ValueError, match=r"axis is \(1, -3\), which names one of the axes .* twice"):
        call(X, axis=(1, -3))
    with pytest.raises(TypeError, match=r"axis is \(0, 1.5\); give an integer"):
        call(X, axis=(0, 1.5))
    with pytest.raises(TypeError, match=r"axis is an array of shape \(2,\) and dtype int64; give an integer"):
        call(X, axis=np.array([0, 1]))


ROWS = [name for name, case in CASES.items() if case.rows and not case.wide and not case.of]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ROWS)
def test_the_result_of_one_row_is_a_number(name, dtype):
    case = CASES[name]
    arguments = case.draw(dtype, 1)
    one = {key: x if key == "weight" else x[0] for key, x in arguments.items()}
    got = case.call(one)
    assert type(got) is getattr(np, dtype) and got == case.call(arguments)[0]
    assert json.dumps(float(got)) and (dtype == "float32" or json.dumps(got))
    out = np.zeros((), dtype)
    assert case.call(one, out=out) is out and out == got


def test_factors_of_logsumexp_weigh_each_term():
    assert f.logsumexp([0.0, 0.0], b=[0.5, 1.5]) == np.log(2)
    assert f.logsumexp([1.0, 1.0], b=[3.0, -2.0]) == 1.0  # they may subtract
    assert f.logsumexp([0.0, 0.0], b=[1.0, -1.0]) == -np.inf
    assert np.isnan(f.logsumexp([0.0, 0.0], b=[1.0, -2.0]))
    assert f.logsumexp(np.zeros(7), b=1 / 7) == pytest.approx(0, abs=1e-15)
    for hidden in (np.inf, np.nan, 1e300):
        assert f.logsumexp([3.0, hidden], b=[1.0, 0.0]) == 3.0  # a factor of 0 hides what it stands beside
    assert f.logsumexp([3.0, -np.inf], b=[0.0, 7.0]) == -np.inf
    assert f.logsumexp([3.0, 1.0], b=[np.inf, 1.0]) == np.inf and np.isnan(f.logsumexp([3.0], b=[np.nan]))
    assert np.isnan(f.logsumexp([-np.inf, 0.0], b=[np.inf, 1.0]))  # 0 · ∞


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 129, 5000])
def test_a_factor_may_be_as_far_from_its_logit_as_both_types_reach(dtype, classes):
    top = np.log(np.finfo(dtype).max) * 0.99
    x, b = np.full((2, classes), -np.inf, dtype), np.ones((2, classes), dtype)
    x[0, [0, -1]], b[0, [0, -1]] = [50, -80], np.exp(np.array([-top, top]))  # the second term is the larger
    x[1, [0, -1]], b[1, [0, -1]] = [1e30, -1e30], [1e-30, 1e30]
    want = np.logaddexp(50 + np.log(np.float64(b[0, 0])), -80 + np.log(np.float64(b[0, -1]))), 1e30
    np.testing.assert_allclose(f.logsumexp(x, b=b), want, rtol=np.finfo(dtype).eps)


def test_factors_and_logits_broadcast_and_axes_are_of_both():
    x, b = np.arange(6.0).reshape(2, 3), np.array([[[1.0]], [[2.0]]])
    both = np.broadcast_to(x, (2, 2, 3)), np.broadcast_to(b, (2, 2, 3))
    for axis in (0, 1, -1, (0, 2), None):
        got = f.logsumexp(x, b=b, axis=axis)
        np.testing.assert_array_equal(got, f.logsumexp(np.array(both[0]), b=np.array(both[1]), axis=axis))
        np.testing.assert_allclose(got, reference.logsumexp(*both[:1], b=both[1], axis=axis), rtol=1e-14)
    with pytest.raises(ValueError, match=r"b has shape \(4,\), which does not broadcast to .* \(2, 3\)"):
        f.logsumexp(x, b=np.ones(4))


def test_factors_widen_logits_as_in_numpy():
    x = np.zeros(3, np.float32)
    assert f.logsumexp(x, b=2).dtype == f.logsumexp(x, b=2.5).dtype == np.float32
    assert f.logsumexp(x, b=np.ones(3, np.float16)).dtype == np.float32
    far = f.logsumexp(x, b=np.float64(1e-300))
    assert f.logsumexp(x, b=1e-300) == far == pytest.approx(np.log(3) - 300 * np.log(10))
    assert f.logsumexp(x[:0], b=np.ones((0,))).dtype == np.float64
    assert f.logsumexp(x, b=np.ones(3)).dtype == f.logsumexp(x, b=np.ones(3, int)).dtype == np.float64
