"""The edge cases of rows, line by line of their specification."""

import functools
import math

import nll_fast
import numpy as np
import pytest
from nll_fast import categorical_nll, cross_entropy, log_softmax, logsumexp, reference

INF, NAN = np.inf, np.nan

# logits, target, loss, logsumexp
ROWS = [
    ([-INF, -INF], 0, NAN, -INF),
    ([INF, 0], 0, NAN, INF),
    ([INF, 0], 1, NAN, INF),
    ([INF, INF, 0], 2, NAN, INF),
    ([-INF, 0], 0, INF, 0),
    ([0, 0, -INF], 0, math.log(2), math.log(2)),
    ([0, NAN, 1], 0, NAN, NAN),
    ([INF, NAN, 1], 2, NAN, NAN),
    ([5], 0, 0, 5),
    ([-INF], 0, NAN, -INF),
    ([17, 0], 0, 4.139937e-08, 17),
    ([20, 0], 0, 2.0611537e-09, 20),
    ([40, 0], 0, 4.248354e-18, 40),
    ([1e8, 1e8], 0, math.log(2), 1e8),
    ([3e38, -3e38], 1, INF, 3e38),
    ([1e30, 1e30, -1e30], 0, math.log(2), 1e30),
    ([-1e30, -1e30], 1, math.log(2), -1e30),
]


@pytest.mark.parametrize("padding", [0, 31, 2048, 4000])
@pytest.mark.parametrize(("logits", "target", "loss", "lse"), ROWS)
def test_row(logits, target, loss, lse, padding):
    x = np.array([logits + [-INF] * padding], np.float32)
    got = cross_entropy(x, [target], reduction="none")[0]
    np.testing.assert_allclose(got, np.float32(loss) if np.isfinite(loss) else loss, rtol=2e-7)
    assert not np.signbit(got) or np.isnan(got)
    np.testing.assert_allclose(logsumexp(x)[0], lse, rtol=2e-7)
    x = np.array([[-INF] * padding + logits], np.float32)
    got = cross_entropy(x, [target + padding], reduction="none")[0]
    np.testing.assert_allclose(got, np.float32(loss) if np.isfinite(loss) else loss, rtol=2e-7)


@pytest.mark.parametrize("where", [0, 5, 31, 32, 40, 2047, 2048, 2099])
def test_nan_in_any_lane_makes_that_row_nan_and_no_other(where):
    x = np.zeros((3, 2100), np.float32)
    x[1, where] = NAN
    got = cross_entropy(x, [1, 1, 1], reduction="none")
    np.testing.assert_array_equal(np.isnan(got), [False, True, False])
    np.testing.assert_array_equal(np.isnan(log_softmax(x)).all(-1), [False, True, False])


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("classes", [1, 2, 3, 33, 128, 129, 300])
@pytest.mark.parametrize("where", [0, -1])
def test_a_row_with_an_infinite_logit_is_nan_throughout(classes, where, dtype):
    x = np.zeros((34, classes), dtype)
    x[1, where] = INF
    target = np.full(x.shape, 1 / classes)
    for y in (target, np.zeros_like(target), np.eye(classes)[np.zeros(34, int)]):
        got = cross_entropy(x, y.astype(dtype), reduction="none")
        np.testing.assert_array_equal(np.isnan(got), np.arange(34) == 1)
    for p, q in ((x, x), (np.zeros_like(x), x), (x, np.zeros_like(x))):
        got = nll_fast.kl_divergence(p, q, reduction="none")
        np.testing.assert_array_equal(np.isnan(got), np.arange(34) == 1)
    for got in (nll_fast.entropy(x), nll_fast.log_softmax(x).sum(-1)):
        np.testing.assert_array_equal(np.isnan(got), np.arange(34) == 1)
    for smoothing in (0.0, 0.1):
        got = nll_fast.cross_entropy_grad(x, np.zeros(34, int), label_smoothing=smoothing)
        np.testing.assert_array_equal(np.isnan(got), np.broadcast_to(np.arange(34)[:, None] == 1, got.shape))


def test_ignored_rows_count_for_nothing_whatever_they_hold():
    x = np.array([[0, 0], [NAN, INF]], np.float32)
    assert cross_entropy(x, [0, -100]) == np.float32(math.log(2))
    np.testing.assert_array_equal(cross_entropy(x, [0, 7], ignore_index=7, reduction="none")[1], 0)


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss", "categorical_nll"])
def test_the_mean_of_nothing_is_what_one_asks_for(loss):
    x, none = np.full((2, 3), 1 / 3), [-100, -100]
    for library in (nll_fast, reference):
        mean = functools.partial(getattr(library, loss), x, empty_mean=0.0)
        assert mean(none) == 0 and mean([0, -100]) > -1 and mean([0, -100]) != 0
        assert math.isnan(mean([0, 1], weight=[0, 0, 1]))
    assert cross_entropy(x[:0], x[:0], empty_mean=7) == 7


def test_a_distribution_has_no_index_to_ignore():
    x = np.zeros((2, 3))
    assert cross_entropy(x, x, ignore_index=None) == cross_entropy(x, x, ignore_index=-100) == 0


@pytest.mark.parametrize("order", ["C", "F", "padded"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_entries_of_rows_of_any_length_and_number(dtype, order):
    """From 128 bytes on, the entries of a row are fetched 32 rows ahead: those of ignored rows lie anywhere."""
    rng = np.random.default_rng(0)
    for classes in (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 300):
        table = rng.random((600, 2 * classes if order == "padded" else classes)).astype(dtype)
        table = np.asfortranarray(table) if order == "F" else table[:, :classes]
        target = rng.integers(0, classes, 600)
        for ignored in (-100, classes, -(2**63), 2**63 - 1):
            target[rng.random(600) < 0.1] = ignored
            want = -table[np.arange(600), np.where(target == ignored, 0, target)]
            want[target == ignored] = 0
            for rows in (0, 1, 31, 32, 33, 64, 255, 256, 257, 600):
                given = dict(ignore_index=ignored, reduction="none")
                assert np.array_equal(nll_fast.nll_loss(table[:rows], target[:rows], **given), want[:rows])
            target[target == ignored] = 0


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_any_integer_target(dtype):
    assert cross_entropy(np.zeros((2, 4), "f4"), np.array([0, 3], dtype)) == np.float32(math.log(4))


def test_a_masked_class_without_weight_costs_no_smoothing():
    x = np.array([[0.0, 1.0, -INF]])
    assert np.isfinite(cross_entropy(x, [0], label_smoothing=0.1, weight=[1, 1, 0]))


def test_a_float64_row_that_rises_by_more_than_float64_holds():
    x = np.full((2, 4096), -9e307)
    x[0, 2048:] = x[1, :2048] = 9e307
    assert logsumexp(x).tolist() == [9e307, 9e307]
    for row, (likely, never) in enumerate([(4000, 10), (10, 4000)]):
        np.testing.assert_allclose(cross_entropy(x[row : row + 1], [likely]), math.log(2048), rtol=1e-15)
        assert cross_entropy(x[row : row + 1], [never]) == INF
        np.testing.assert_allclose(log_softmax(x[row])[likely], -math.log(2048), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("span", [100.0, 3e4, 1e6])
def test_rows_that_rise_and_fall_through_every_reference(dtype, span):
    """Logits beyond 2^14 are counted from the largest, others from 0: a row may need both, in either order."""
    rise = np.linspace(-span, span, 5000).astype(dtype)
    tent = np.concatenate([rise[::2], rise[::-2]])
    for row in (rise, rise[::-1], tent, rise + dtype(5 * span)):
        for target in (0, 2499, 2500, 4999, int(np.argmax(row))):
            got = cross_entropy(row[None], [target], reduction="none", out=np.empty(1))
            want = reference.cross_entropy(row[None], [target], reduction="none")
            tolerance = dict(rtol=3e-7, atol=1e-45) if dtype == np.float32 else dict(rtol=1e-14)
            np.testing.assert_allclose(got, want, **tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 10, 129, 3000])
def test_one_hot_targets_cost_what_their_classes_cost(dtype, classes):
    r = np.random.default_rng(classes)
    probs, target = r.dirichlet(np.ones(classes), 70).astype(dtype), r.integers(0, classes, 70)
    one_hot, more = np.eye(classes, dtype=dtype)[target], {"weight": r.random(classes).astype(np.float32)}
    for kind in ({}, {"clamp": "eps"}, more, {"sample_weight": r.random(70)}):
        each = {**kind, "reduction": "none"}
        # A product with the weight is rounded once more where the target is a distribution.
        ulps = 1 if "weight" in kind else 0
        got, want = categorical_nll(probs, one_hot, **each), categorical_nll(probs, target, **each)
        np.testing.assert_array_max_ulp(got, want, ulps)
    columns = np.asfortranarray(probs.T), np.asfortranarray(one_hot.T)
    assert categorical_nll(*columns, axis=0) == categorical_nll(probs, one_hot) == categorical_nll(probs, target)


def test_probabilities_beside_distributions_are_checked_before_anything_is_written():
    probs, target = np.full((3, 4), 0.25), np.full((3, 4), 0.25)
    probs[1, 2] = 1.5
    out = np.full(3, 7.0)
    for kind in ({}, {"reduction": "none"}, {"clamp": "eps"}, {"out": out}):
        with pytest.raises(ValueError, match=r"probs is 1.5 at row 1, class 2, outside \[0, 1\]"):
            categorical_nll(probs, target, **kind)
    target[1, 2] = 0  # it is no probability even if it does not count
    with pytest.raises(ValueError, match="probs is"):
        categorical_nll(probs, target)
    for reduction in ("mean", "sum", "none"):  # a row without a weight is read as any other
        with pytest.raises(ValueError, match="probs is"):
            categorical_nll(probs, target, sample_weight=[1, 0, 1], reduction=reduction)
    assert (out == 7).all()
    with pytest.raises(ValueError, match="ignore_index=3 means nothing"):
        categorical_nll(target, target, ignore_index=3)


def test_an_impossible_class_of_a_distribution_costs_nothing_if_it_has_no_share():
    assert categorical_nll([[0.0, 1.0]], [[0.0, 1.0]]) == 0
    assert categorical_nll([[0.0, 1.0]], [[0.5, 0.5]]) == np.inf
    assert categorical_nll([[0.0, 1.0]], [[1.0, 0.0]], clamp="eps") == 52 * np.log(2)
    assert categorical_nll([[0.0, 1.0]], [[1.0, 0.0]], weight=[0, 1]) == 0
    assert np.isnan(categorical_nll([[0.5, 0.5]], [[np.nan, 0.5]]))


@pytest.mark.parametrize("classes", [3, 200])
def test_smoothing_of_an_impossible_target_without_a_weight_costs_the_others_share(classes):
    x, weight = np.linspace(-3, 3, classes)[None], np.linspace(0, 1, classes)
    x[0, 0] = -np.inf
    kind = {"weight": weight, "label_smoothing": 0.1, "reduction": "none"}
    np.testing.assert_allclose(cross_entropy(x, [0], **kind), reference.cross_entropy(x, [0], **kind), rtol=1e-14)
