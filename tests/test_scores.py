"""score: every field against NumPy and the functions that compute one of them, whatever the layout and the options."""

import dataclasses

import nll_fast
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from nll_fast import reference
from nll_fast._llama import CodedLogits

from .cases import DTYPES

FLOATS = ("log_prob", "logsumexp", "entropy", "max_log_prob", "top_k_log_probs", "token_ids_log_probs")
INTEGERS = ("argmax", "rank", "ties", "top_k_ids")
CLASSES = (1, 2, 3, 31, 33, 128, 129, 1000, 2049, 5000, (1 << 18) + 5)


def draw(classes, dtype="float32", rows=None):
    r = np.random.default_rng(classes)
    rows = rows or (3 if classes > 10_000 else 40)
    x = (r.standard_normal((rows, classes)) * 3).astype(DTYPES[dtype])
    if dtype == "float16":
        x = x.round(1)  # many ties
    return x, r.integers(0, classes, rows)


def same(a, b, names=(*FLOATS, *INTEGERS, "is_greedy")):
    for name in names:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", CLASSES)
def test_counts_are_numpys_and_log_probs_the_bits_of_token_log_probs(classes, dtype):
    x, target = draw(classes, dtype)
    k = min(classes, 7)
    scores = nll_fast.score(x, target, top_k=k, token_ids=[0, classes - 1])
    np.testing.assert_array_equal(scores.log_prob, nll_fast.token_log_probs(x, target))
    of_one_ulp = {"rtol": 3e-7} if dtype != "float64" else {"rtol": 6e-16}
    np.testing.assert_allclose(scores.entropy, nll_fast.entropy(x), **of_one_ulp)
    np.testing.assert_allclose(scores.logsumexp, nll_fast.logsumexp(x), rtol=1e-6 if dtype != "float64" else 1e-14)
    wide = x.astype(np.float64)
    x_t = wide[np.arange(len(x)), target][:, None]
    np.testing.assert_array_equal(scores.rank, 1 + (wide > x_t).sum(-1))
    np.testing.assert_array_equal(scores.ties, (wide == x_t).sum(-1) - 1)
    np.testing.assert_array_equal(scores.argmax, wide.argmax(-1))
    np.testing.assert_array_equal(scores.is_greedy, wide.argmax(-1) == target)
    np.testing.assert_array_equal(scores.log_prob[scores.is_greedy], scores.max_log_prob[scores.is_greedy])
    order = np.argsort(-wide, axis=-1, kind="stable")[:, :k]
    np.testing.assert_array_equal(scores.top_k_ids, order)
    log_p = nll_fast.log_softmax(x)
    close = {"rtol": 1e-6, "atol": 1e-30} if dtype != "float64" else {"rtol": 1e-14, "atol": 1e-300}
    np.testing.assert_allclose(scores.top_k_log_probs, np.take_along_axis(log_p, order, -1), **close)
    np.testing.assert_allclose(scores.token_ids_log_probs, log_p[:, [0, -1]], **close)
    assert (np.diff(scores.top_k_log_probs) <= 0).all()
    assert (scores.log_prob <= 0).all() and (scores.max_log_prob <= 0).all()


@pytest.mark.parametrize("of_target", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 128, 129, 1000, 5000])
def test_entropy_and_largest_keep_their_digits_in_certain_rows(classes, dtype, of_target):
    # One class leads by 0 to 60 nats; the target is that class, or another.
    r = np.random.default_rng(classes)
    x = (r.standard_normal((400, classes)) * 3).astype(np.float64)
    top = r.integers(0, classes, len(x))
    x[np.arange(len(x)), top] = x.max(-1) + np.linspace(0, 60, len(x))
    x = x.astype(dtype)
    target = top if of_target else (top + 1) % classes
    scores = nll_fast.score(x, target)
    wide = x.astype(np.longdouble)
    below = wide.max(-1, keepdims=True) - wide
    terms = np.exp(-below)
    others = np.where(np.arange(classes) == top[:, None], 0, terms).sum(-1)
    loss = np.log1p(others)
    entropy = loss + (terms * below).sum(-1) / (1 + others)
    for got, want in ((scores.max_log_prob, -loss), (scores.entropy, entropy)):
        want = want.astype(np.float64)
        least = np.abs(np.spacing(want.astype(dtype))).astype(np.float64)
        # In float64, what is wanted is rounded itself.
        limit = 2 if dtype == "float32" else 3
        np.testing.assert_array_less(np.abs(got.astype(np.float64) - want) / least, limit)


@pytest.mark.parametrize("classes", [2, 10, 200])
def test_every_field_is_the_oracles(classes):
    x, target = draw(classes, "float64")
    target[3] = -100
    x[5, 0] = np.nan
    options = {"top_k": 2, "token_ids": [1, 0], "temperature": 0.7, "softcap": 3.0}
    got, want = nll_fast.score(x, target, **options), reference.score(x, target, **options)
    for name in (*FLOATS, *INTEGERS, "is_greedy"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-12, atol=1e-13, err_msg=name)


def test_rows_that_do_not_count_or_hold_a_nan_have_no_plausible_number():
    x, target = draw(300)
    target[3], target[4] = -100, 299
    x[5, 7] = np.nan
    x[6, target[6]] = np.nan  # The target is left out of the sum that is NaN where another logit is.
    scores = nll_fast.score(x, target, top_k=3, token_ids=[2])
    for row in (3, 5, 6):
        assert all(np.isnan(getattr(scores, name)[row]).all() for name in FLOATS)
        assert all((getattr(scores, name)[row] == -1).all() for name in INTEGERS)
        assert not scores.is_greedy[row]
    assert scores.counted.sum() == len(x) - 1
    summary = scores.summary()
    assert (summary["tokens"], summary["ignored"]) == (len(x) - 1, 1)
    assert (summary["nonfinite"], summary["nan"], summary["first_nan"]) == (2, 2, 5)
    assert (summary["infinite"], summary["first_infinite"]) == (0, None)
    x[3] = np.nan  # not read
    same(nll_fast.score(x, target, top_k=3, token_ids=[2]), scores)


@pytest.mark.parametrize("classes", [3, 300])
def test_infinite_logits(classes):
    x, target = draw(classes)
    x[0, target[0]], x[1, target[1]], x[2] = -np.inf, np.inf, -np.inf
    scores = nll_fast.score(x, target, top_k=2)
    assert scores.log_prob[0] == -np.inf and scores.rank[0] == classes
    assert np.isnan(scores.log_prob[1]) and scores.logsumexp[1] == np.inf and not scores.is_greedy[1]
    assert scores.argmax[1] == target[1] and scores.rank[1] == 1
    assert scores.logsumexp[2] == -np.inf and scores.argmax[2] == 0 and scores.ties[2] == classes - 1
    assert nll_fast.score(x[:1], target[:1]).summary()["nll"] == np.inf


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [3, 128, 129, 3000])
def test_a_temperature_divides_in_the_type_of_the_computation(classes, dtype):
    x, target = draw(classes, dtype)
    real = np.float64 if dtype == "float64" else np.float32
    divided = x.astype(real) / real(0.7)
    for wanted in ({"top_k": 2, "token_ids": [1]}, {"top_k": 2, "token_ids": [1], "softcap": 4.0}):
        same(nll_fast.score(x, target, temperature=0.7, **wanted), nll_fast.score(divided, target, **wanted))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cap_bounds_the_logits_and_keeps_small_ones(dtype):
    r = np.random.default_rng(0)
    sizes = 10.0 ** r.uniform(-30, 5, (50, 40))
    x = (sizes * r.choice([-1, 1], sizes.shape)).astype(dtype)
    x[0, :4] = [0, np.inf, -np.inf, 1e30]
    ids = np.arange(40)
    for cap in (0.5, 30.0):
        capped = (cap * np.tanh(x.astype(np.longdouble) / cap)).astype(dtype)
        got, want = (nll_fast.score(y, np.zeros(50, int), token_ids=ids, **how) for y, how in
                     ((x, {"softcap": cap}), (capped, {})))  # fmt: skip
        np.testing.assert_allclose(got.token_ids_log_probs, want.token_ids_log_probs,
                                   rtol=4 * np.finfo(dtype).eps)  # fmt: skip
        # Where all is certain or all is small, the differences of the capped logits are what counts.
        np.testing.assert_allclose(got.log_prob, want.log_prob, rtol=4 * np.finfo(dtype).eps)


def test_a_cap_far_beyond_the_logits_keeps_their_order():
    scores = nll_fast.score([[1e-300, 3e-300, 2e-300]], [0], softcap=1e30)
    assert (scores.argmax, scores.rank, scores.ties) == (1, 3, 0)


@pytest.mark.parametrize("classes", [2, 40, 300])
def test_a_certain_target_has_the_log_prob_0_without_a_sign(classes):
    x = np.zeros((3, classes), np.float32)
    x[:, 1] = [200, 150, 30]  # -log p is 0 in float32, in f64 it is not
    scores = nll_fast.score(x, [1, 1, 1], top_k=2, token_ids=[1])
    want = nll_fast.token_log_probs(x, [1, 1, 1])
    columns = scores.log_prob, scores.max_log_prob, scores.top_k_log_probs[:, 0], scores.token_ids_log_probs[:, 0]
    for log_prob in columns:
        assert log_prob.tobytes() == want.tobytes() and not np.signbit(log_prob[:2]).any()
    both = nll_fast.compare(x, x, [1, 1, 1])
    assert not np.signbit([both.p_log_prob[:2], both.q_log_prob[:2], both.p_max_log_prob[:2]]).any()


@pytest.mark.parametrize("classes", [5, 300])
def test_layout_axis_shift_mask_and_threads_change_no_bit(classes, threads):
    r = np.random.default_rng(1)
    x, target = r.standard_normal((4, 30, classes)).astype(np.float32), r.integers(0, classes, (4, 30))
    options = {"top_k": 3, "token_ids": r.integers(0, classes, (4, 30, 2))}
    whole = nll_fast.score(x, target, **options)
    same(nll_fast.score(np.asfortranarray(x), target, **options), whole)
    same(nll_fast.score(np.moveaxis(x, -1, 1).copy(), target, axis=1, **options), whole)
    for count in (1, 2, 5):
        threads(count)
        same(nll_fast.score(x, target, **options), whole)
    mask = r.random((4, 30)) < 0.7
    shifted = nll_fast.score(x, target, shift=1, mask=mask, **options)
    aligned = np.where(mask, target, -100)[:, 1:]
    given = options["token_ids"][:, 1:]
    same(shifted, nll_fast.score(x[:, :-1], aligned, top_k=3, token_ids=given))
    np.testing.assert_array_equal(shifted.counted, mask[:, 1:])
    one = nll_fast.score(x[2, 3], target[2, 3], top_k=3)
    assert one.log_prob == whole.log_prob[2, 3] and (one.top_k_ids == whole.top_k_ids[2, 3]).all()


@settings(max_examples=100, deadline=None)
@given(npst.arrays(np.float16, st.integers(1, 200), elements=st.floats(-20, 20, width=16)), st.data())
def test_permuting_classes_permutes_ids_and_leaves_the_rest(x, data):
    order = np.array(data.draw(st.permutations(range(len(x)))))
    target = data.draw(st.integers(0, len(x) - 1))
    k = min(3, len(x))
    before = nll_fast.score(x[order], np.argmax(order == target), top_k=k)
    after = nll_fast.score(x, np.array(target), top_k=k)
    assert (before.rank, before.ties) == (after.rank, after.ties)
    np.testing.assert_array_equal(x[order][before.top_k_ids], x[after.top_k_ids])
    assert x[order][before.argmax] == x[after.argmax]
    np.testing.assert_allclose(before.log_prob, after.log_prob, rtol=3e-7)


def test_real_logits_have_numpys_ranks(real_logits):
    x, target = real_logits
    scores = nll_fast.score(x, target, top_k=5)
    wide = x.astype(np.float64)
    x_t = wide[np.arange(len(x)), target][:, None]
    np.testing.assert_array_equal(scores.rank, 1 + (wide > x_t).sum(-1))
    np.testing.assert_array_equal(scores.ties, (wide == x_t).sum(-1) - 1)
    assert scores.ties.max() > 0  # float16 has many
    np.testing.assert_array_equal(scores.top_k_ids, np.argsort(-wide, -1, kind="stable")[:, :5])
    summary = scores.summary()
    assert summary["nll"] == nll_fast.cross_entropy(x, target)
    assert summary["perplexity"] == nll_fast.perplexity(x, target)
    assert summary["top1_accuracy"] == np.mean(wide.argmax(-1) == target)
    assert summary["top_k_accuracy"] == np.mean(scores.rank <= 5)


def test_segments_are_sums_over_groups():
    x, target = draw(50)
    target[0] = -100
    ids = np.arange(len(target)) // 7
    ids[-1] = -1
    scores = nll_fast.score(x, target)
    segments = scores.segments(ids)
    for group in range(ids.max() + 1):
        here = (ids == group) & scores.counted
        assert segments.log_prob[group] == np.float64(sum(map(float, scores.log_prob[here]))) or np.isclose(
            segments.log_prob[group], scores.log_prob[here].astype(float).sum(), rtol=1e-15
        )
        assert segments.count[group] == here.sum()
        assert segments.is_greedy[group] == scores.is_greedy[here].all()
    empty = scores.segments(np.where(ids == 2, -1, ids))
    assert (empty.count[2], empty.log_prob[2], empty.is_greedy[2]) == (0, 0.0, False)


def test_a_result_is_shown_on_one_line_however_many_tokens_it_has():
    scores = nll_fast.score(np.zeros((2, 500, 3)), np.where(np.arange(1000).reshape(2, 500) % 10, 0, -100))
    assert repr(scores) == "TokenScores of shape (2, 500), of which 900 tokens count"
    comparison = nll_fast.compare(np.zeros((2, 500, 3)), np.zeros((2, 500, 3)), scores.target)
    assert repr(comparison) == "Comparison of shape (2, 500), of which 900 rows count"


def test_columns_make_a_table():
    x, target = draw(50)
    scores = nll_fast.score(x.reshape(4, 10, 50), target.reshape(4, 10), top_k=2, token_ids=[3])
    table = scores.to_dict()
    assert {column.shape for column in table.values()} == {(40,)}
    assert {"log_prob", "rank", "top_2_id", "top_1_log_prob", "token_0_log_prob"} < set(table)
    np.testing.assert_array_equal(table["top_2_id"], scores.top_k_ids[..., 1].ravel())


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"top_k": 6}, ValueError, "top_k is 6, but there are 5 classes"),
        ({"top_k": -1}, ValueError, "top_k is -1"),
        ({"temperature": 0.0}, ValueError, "temperature is 0.0"),
        ({"temperature": float("nan")}, ValueError, "temperature is nan"),
        ({"temperature": 1e-46}, ValueError, "temperature is 1e-46, which is 0 in float32"),
        ({"softcap": -1.0}, ValueError, "softcap is -1.0"),
        ({"token_ids": [7]}, IndexError, "token_ids is 7 at index"),
        ({"token_ids": [[1]]}, ValueError, "token_ids has shape"),
        ({"token_ids": [0.5]}, TypeError, "token_ids is"),
    ],
)
def test_wrong_options_are_named(options, error, words):
    with pytest.raises(error, match=words):
        nll_fast.score(np.zeros((2, 5), np.float32), [0, 1], **options)


@pytest.mark.parametrize(
    ("ids", "error", "words"),
    [
        ([0.5, 1.0], TypeError, "ids is .*; pass integers"),
        ([np.nan, 0], TypeError, "ids is .*; pass integers"),
        (np.array([2**63, 0], np.uint64), ValueError, f"ids go up to {2**63} for 2 tokens"),
        ([0], ValueError, "ids has shape"),
    ],
)
def test_groups_that_are_no_integers_are_named(ids, error, words):
    with pytest.raises(error, match=words):
        nll_fast.score(np.zeros((2, 5)), [0, 1]).segments(ids)


def test_no_rows_and_no_ids():
    scores = nll_fast.score(np.zeros((0, 5)), np.zeros(0, int), top_k=2, token_ids=[])
    assert scores.top_k_ids.shape == (0, 2) and scores.token_ids_log_probs.shape == (0, 0)
    summary = scores.summary()
    assert summary["tokens"] == 0 and np.isnan(summary["nll"]) and summary["first_nan"] is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", (129, 160, 255, 256, 257, 289, 2047, 2048, 2053, 2079, 2081, 2305, 4096 + 31))
def test_large_classes_are_found_wherever_they_stand(classes, dtype):
    """Most pieces of a row are not looked at: at their ends stand the target, one equal to it and one above it."""
    ends = {at for end in (32, 256, 2048, 4096, classes) for at in (end - 1, end) if at < classes} | {0, classes // 2}
    places = [(a, b, c) for a in ends for b in ends for c in ends]
    x = np.random.default_rng(classes).uniform(-9, 1, classes).astype(DTYPES[dtype])
    x = np.repeat(x[None], len(places), 0)
    target, equal, above = np.array(places).T
    rows = np.arange(len(places))
    x[rows, above] = np.where(rows % 2, 3, -5)  # In every second row none is above the target.
    x[rows, equal] = 2
    x[rows, target] = 2
    scores = nll_fast.score(x, target, top_k=3)
    wide = x.astype(np.float64)
    np.testing.assert_array_equal(scores.rank, 1 + (wide > 2).sum(-1))
    np.testing.assert_array_equal(scores.ties, (wide == 2).sum(-1) - 1)
    np.testing.assert_array_equal(scores.argmax, wide.argmax(-1))
    np.testing.assert_array_equal(scores.top_k_ids, np.argsort(-wide, axis=-1, kind="stable")[:, :3])
    np.testing.assert_array_equal(scores.log_prob, nll_fast.token_log_probs(x, target))
    np.testing.assert_allclose(scores.entropy, nll_fast.entropy(x), rtol=3e-7 if dtype != "float64" else 6e-16)


def test_rising_rows_give_the_largest_classes_too():
    """Every class is a candidate: the buffer of the largest is full again and again."""
    x = np.arange(50_000, dtype=np.float32)[None] * np.float32(1e-3)
    for row in (x, x[:, ::-1]):
        order = np.argsort(-row, -1, kind="stable")[:, :100]
        np.testing.assert_array_equal(nll_fast.score(row, [0], top_k=100).top_k_ids, order)


def test_codes_of_llama_cpp_are_read_as_they_are_stored():
    r = np.random.default_rng(3)
    for classes in (7, 300):
        rows = r.integers(0, 1 << 16, (2, 20, classes + 4 + classes % 2)).astype(np.uint16)
        rows[..., :4] = np.stack([r.random((2, 20)) * 2e-4, -r.random((2, 20)) * 20], -1).astype("<f4").view(np.uint16)
        coded = CodedLogits(rows, classes)
        target = r.integers(0, classes, (2, 20))
        for more in ({}, {"temperature": 0.7}, {"softcap": 3.0}):
            options = {"top_k": 3, "token_ids": [1], **more}
            got, want = (nll_fast.score(x, target, **options) for x in (coded, np.asarray(coded)))
            if not more:  # what the file says is log p as it is
                names = ("log_prob", "max_log_prob", "top_k_log_probs", "token_ids_log_probs")
                sums = (want.logsumexp, want.logsumexp, want.logsumexp[..., None], want.logsumexp[..., None])
                columns = {n: np.minimum(getattr(want, n) + x, 0) for n, x in zip(names, sums, strict=True)}
                want = dataclasses.replace(want, **columns)
            same(got, want)
        assert np.array_equal(
            nll_fast.score(coded, target, shift=1).log_prob,
            nll_fast.score(coded[:, :-1], target[:, 1:]).log_prob,
        )
        both, want = (nll_fast.compare(x, y, target) for x, y in ((coded, coded[:, ::-1]), (np.asarray(coded),) * 2))
        np.testing.assert_array_equal(both.p_entropy, want.p_entropy)
        cut, plain = (nll_fast.compare(x, np.asarray(coded) + 1, classes=5) for x in (coded, np.asarray(coded)))
        np.testing.assert_array_equal(cut.kl_pq, plain.kl_pq)
