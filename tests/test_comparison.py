"""compare: every field against NumPy, exact numbers where two models are nearly equal, and llama.cpp's statistics."""

import nll_fast
import numpy as np
import pytest
from mpmath import mp, mpf
from nll_fast import reference
from nll_fast._statistics import by_confidence

from .cases import DTYPES, distance, kl, middle

FLOATS = ("kl_pq", "kl_qp", "js", "total_variation", "p_entropy", "p_max_log_prob", "p_log_prob", "q_log_prob")
OTHERS = ("p_argmax", "q_argmax", "same_top", "top_k_overlap", "top_k_in_order")
CLASSES = (1, 2, 3, 33, 128, 129, 1000, 5000, (1 << 18) + 5)


def draw(classes, dtype="float32", rows=None, eps=0.3):
    r = np.random.default_rng(classes)
    rows = rows or (3 if classes > 10_000 else 20)
    x = r.standard_normal((rows, classes)) * 3
    y = x + r.standard_normal(x.shape) * eps
    return x.astype(DTYPES[dtype]), y.astype(DTYPES[dtype]), r.integers(0, classes, rows)


def same(a, b):
    for name in (*FLOATS, *OTHERS):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", CLASSES)
def test_every_field_is_numpys(classes, dtype):
    x, y, target = draw(classes, dtype)
    both = nll_fast.compare(x, y, target)
    wide = x.astype(np.float64), y.astype(np.float64)
    p, q = (np.exp(nll_fast.log_softmax(z)) for z in wide)
    close = {"rtol": 2e-6, "atol": 1e-7} if dtype != "float64" else {"rtol": 1e-11, "atol": 1e-13}
    mean = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        log = {name: np.where(z > 0, np.log(z), 0) for name, z in (("p", p), ("q", q), ("mean", mean))}
    np.testing.assert_allclose(both.kl_pq, (p * (log["p"] - log["q"])).sum(-1), **close)
    np.testing.assert_allclose(both.kl_qp, (q * (log["q"] - log["p"])).sum(-1), **close)
    js = (p * (log["p"] - log["mean"]) + q * (log["q"] - log["mean"])).sum(-1) / 2
    np.testing.assert_allclose(both.js, js, **close)
    np.testing.assert_allclose(both.total_variation, np.abs(p - q).sum(-1) / 2, **close)
    np.testing.assert_allclose(both.p_entropy, nll_fast.entropy(wide[0]), **close)
    np.testing.assert_allclose(both.p_log_prob, nll_fast.token_log_probs(wide[0], target), **close)
    np.testing.assert_allclose(both.q_log_prob, nll_fast.token_log_probs(wide[1], target), **close)
    k = min(5, classes)
    first, second = (np.argsort(-z, axis=-1, kind="stable")[:, :k] for z in wide)
    np.testing.assert_array_equal(both.p_argmax, first[:, 0])
    np.testing.assert_array_equal(both.q_argmax, second[:, 0])
    np.testing.assert_array_equal(both.same_top, first[:, 0] == second[:, 0])
    shared = [len(set(a) & set(b)) for a, b in zip(first, second, strict=True)]
    np.testing.assert_array_equal(both.top_k_overlap, shared)
    np.testing.assert_array_equal(both.top_k_in_order, (first == second).all(-1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eps", [20, 1, 1e-2, 1e-4, 1e-6])
def test_nearly_equal_models_keep_their_digits(eps, dtype):
    ulps = {"kl_pq": 2, "kl_qp": 3, "js": 3, "total_variation": 3}
    r = np.random.default_rng(2)
    for classes in (2, 3, 12, 150):
        x = (r.standard_normal((4, classes)) * r.choice([1, 5, 20], (4, 1))).astype(dtype)
        y = (x + r.standard_normal(x.shape) * eps).astype(dtype)
        both = nll_fast.compare(x, y)
        for i in range(4):
            rows = [[mpf(float(v)) for v in row[i]] for row in (x, y)]
            exact = {
                "kl_pq": kl(*rows),
                "kl_qp": kl(*rows[::-1]),
                "js": middle(*rows),
                "total_variation": distance(*rows),
            }
            for name, want in exact.items():
                got = getattr(both, name)[i]
                ulp = mpf(float(np.spacing(np.array(abs(float(want)), dtype))))
                assert abs(mpf(float(got)) - want) <= ulps[name] * ulp, (name, classes, i, mp.nstr(want, 20))


def exact_rows(x, y):
    return [[mpf(float(v)) if v > -np.inf else mp.ninf for v in row] for row in (x, y)]


@pytest.mark.parametrize("change", ["all", "the largest", "one, by an ulp", "one, to -inf"])
def test_models_that_are_certain_of_the_same_class_keep_their_digits(change):
    """The distance is that of the other classes, though the losses of the certain one know nothing of most of them."""
    r = np.random.default_rng(3)
    for _ in range(40):
        n = int(r.integers(2, 7))
        x = r.standard_normal(n) * r.choice([1, 30])
        m, other = r.permutation(n)[:2]
        x[m] = x.max() + r.uniform(50, 200)
        y = x.copy()
        if change == "all":
            y += r.standard_normal(n) * 10 ** r.uniform(-14, 0)
        elif change == "the largest":
            y[m] += 10 ** r.uniform(-13, 1)
        else:
            y[other] = np.nextafter(y[other], np.inf) if "ulp" in change else -np.inf
        got = nll_fast.compare(x[None], y[None], top_k=0).total_variation[0]
        with mp.workdps(300):
            want = distance(*exact_rows(x, y))
        assert abs(mpf(float(got)) - want) <= 3 * mpf(float(np.spacing(float(want)))), (x, y, mp.nstr(want, 20))


@pytest.mark.parametrize("classes", [1, 3, 200, 5000])
def test_equal_models_do_not_differ_at_all(classes):
    x, _, target = draw(classes)
    both = nll_fast.compare(x, x, target)
    for name in ("kl_pq", "kl_qp", "js", "total_variation"):
        assert not getattr(both, name).any()
    assert both.same_top.all() and both.top_k_in_order.all()
    summary = both.summary()
    assert summary["Mean KLD"] == (0.0, 0.0) and summary["Same top p"] == (100.0, 0.0)
    assert summary["Mean PPL(Q)/PPL(base)"] == (1.0, 0.0)


@pytest.mark.parametrize("classes", [4, 40, 300])
def test_logits_of_1e38_differ_by_as_much_and_no_more(classes):
    x = np.random.default_rng(0).standard_normal((20, classes)) * 8
    y = np.random.default_rng(1).uniform(-1e38, 1e38, (20, classes))
    log_p = nll_fast.log_softmax(x)
    want = np.sum(np.exp(log_p) * (y.max(-1, keepdims=True) - y), -1)
    assert nll_fast.compare(x, y).kl_pq == pytest.approx(want, rel=1e-12)
    assert nll_fast.kl_divergence(x, y, reduction="none") == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("classes", [2, 5, 128, 200, 3000, (1 << 18) + 5])
def test_logits_next_to_the_largest_float64_differ_by_as_much_and_no_more(classes):
    """What multiplies their differences by terms of 2^60 is infinite there."""
    x, y = np.zeros((2, 2, classes))
    y[0, 0] = 1e308
    want = [(classes - 1) / classes * 1e308, 0]
    np.testing.assert_allclose(nll_fast.kl_divergence(x, y, reduction="none"), want, rtol=1e-15)
    both, back = nll_fast.compare(x, y), nll_fast.compare(y, x)
    np.testing.assert_allclose(both.kl_pq, want, rtol=1e-15)
    assert np.array_equal(both.kl_pq, back.kl_qp) and back.kl_pq[0] == pytest.approx(np.log(classes), rel=1e-15)
    y[0, 1], y[1, 0] = -np.inf, np.nan
    assert np.array_equal(nll_fast.kl_divergence(x, y, reduction="none"), [np.inf, np.nan], equal_nan=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [3, 40, 300])
def test_a_class_impossible_for_one_model_is_infinitely_far_in_both_directions(classes, dtype):
    x = np.zeros((1, classes), dtype)
    y = x.copy()
    x[0, 1], y[0, 1] = -np.inf, -1e4  # which is no number above 0 as a probability
    there, back = nll_fast.compare(x, y), nll_fast.compare(y, x)
    assert there.kl_qp == back.kl_pq == nll_fast.kl_divergence(y, x) == np.inf
    assert np.isfinite(there.kl_pq) and there.kl_pq == back.kl_qp


@pytest.mark.parametrize("classes", [2, 3, 10, 16, 17, 33, 128, 129, 161, 515])
def test_rows_of_float32_near_and_far_have_their_digits_and_the_same_bits_alone(classes):
    r = np.random.default_rng(classes)
    x = r.standard_normal((96, classes)) * 10 ** r.uniform(-1, 1, (96, 1))
    y = x + r.standard_normal(x.shape) * 10 ** r.uniform(-5, 1, (96, 1))
    x[:8] = np.round(x[:8] * 64) / 64
    y[:8], x[8:16, 0] = x[:8] + 2, -np.inf
    y[16:24, -1], x[24:32, -1], y[24:32, -1] = -np.inf, -np.inf, -np.inf
    # One class alone differs, by much.
    y[32:48] = x[32:48] + r.standard_normal((16, classes)) * 1e-3
    y[32:48, 0] = x[32:48, 0] - r.uniform(2, 120, 16)
    x[48:56, 0], y[48:56, 0] = x[48:56, 0] + 30, x[48:56, 0] + 31
    x[56], y[57, 0], x[58, 0], y[59] = np.nan, np.inf, 3e38, -np.inf
    x[60:64], y[60:64] = x[60:64] * 1e30, y[60:64] * 1e30
    # Masked in one model by large numbers, and models with an offset.
    y[64:72, 0], x[72:80, 1] = -(10.0 ** np.arange(6, 38, 4)), -(10.0 ** np.arange(6, 38, 4))
    y[80:88] = 10.0 ** np.arange(3, 11)[:, None]
    y[88:92], y[88:92, 0], x[88:92, 0] = x[88:92] * (1 + 1e-6), -np.inf, -45
    x, y = x.astype("float32"), y.astype("float32")
    got = nll_fast.compare(x, y)
    want = nll_fast.compare(x.astype("float64"), y.astype("float64"))
    for name in ("kl_pq", "kl_qp", "js", "total_variation", "p_entropy"):
        close = {"rtol": 3 * np.finfo("float32").eps, "atol": 1e-13, "err_msg": name}
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), **close)
    assert not (got.kl_pq[:8].any() or got.kl_qp[:8].any() or got.js[:8].any() or got.total_variation[:8].any())
    assert (got.kl_qp[8:16] == np.inf).all() and (got.kl_pq[16:24] == np.inf).all()
    same(nll_fast.compare(np.asfortranarray(x), np.asfortranarray(y)), got)
    for row in range(96):
        alone = nll_fast.compare(x[row : row + 1], y[row : row + 1])
        for name in (*FLOATS[:6], *OTHERS):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(got, name)[row], err_msg=f"{name} of {row}")


@pytest.mark.parametrize("classes", [3, 200])
def test_every_field_is_the_oracles(classes):
    x, y, target = draw(classes, "float64")
    target[3] = -100
    x[5, 0], y[6, 1] = np.nan, np.inf
    options = {"top_k": 2, "temperature": 0.7, "softcap": 3.0}
    y[6, 1] = np.nan
    got, want = nll_fast.compare(x, y, target, **options), reference.compare(x, y, target, **options)
    for name in (*FLOATS, *OTHERS):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-10, atol=1e-12, err_msg=name)


def test_buckets_of_confidence_take_every_row_once():
    largest, kl = np.log(np.array([0.1, 0.25, 0.95, 1.0, 1 + 1e-15])), np.array([1.0, 2, 3, 5, 7])
    rows = by_confidence(largest, kl)
    assert [row["count"] for row in rows] == [1, 1, 0, 0, 3]
    assert [row["kl_pq"] for row in rows if row["count"]] == [1, 2, 5]
    assert rows[4]["kl_pq_error"] == pytest.approx(2 / np.sqrt(3)) and np.isnan(rows[2]["kl_pq"])


def test_rows_that_are_not_finite_are_counted_apart():
    x, y, target = draw(300)
    target[3] = -100
    x[5, 7], y[6, 7] = np.nan, np.inf
    y[7, x[7].argmax()] = -np.inf  # impossible for the second model alone
    both = nll_fast.compare(x, y, target)
    for row in (3, 5, 6):
        assert all(np.isnan(getattr(both, name)[row]) for name in FLOATS)
        assert both.p_argmax[row] == -1 and both.top_k_overlap[row] == -1
        assert not both.same_top[row] and not both.top_k_in_order[row]
    assert both.kl_pq[7] == np.inf and np.isfinite(both.kl_qp[7]) and np.isfinite(both.js[7])
    summary = both.summary()
    assert (summary["tokens"], summary["ignored"], summary["nonfinite"]) == (16, 1, 3)
    assert np.isfinite(summary["kl_pq"]["mean"]) and np.isfinite(summary["Mean PPL(Q)"][0])
    assert sum(bucket["count"] for bucket in summary["buckets"]) == 16


@pytest.mark.parametrize("classes", [5, 300])
def test_layout_axis_shift_mask_and_threads_change_no_bit(classes, threads):
    r = np.random.default_rng(1)
    x, y = r.standard_normal((2, 4, 30, classes)).astype(np.float32)
    target = r.integers(0, classes, (4, 30))
    whole = nll_fast.compare(x, y, target)
    same(nll_fast.compare(np.asfortranarray(x), y, target), whole)
    turned = (np.moveaxis(z, -1, 1).copy() for z in (x, y))
    same(nll_fast.compare(*turned, target, axis=1), whole)
    for count in (1, 2, 5):
        threads(count)
        same(nll_fast.compare(x, y, target), whole)
    mask = r.random((4, 30)) < 0.7
    aligned = np.where(mask, target, -100)[:, 1:]
    shifted = nll_fast.compare(x, y, target, shift=1, mask=mask)
    same(shifted, nll_fast.compare(x[:, :-1], y[:, :-1], aligned))
    without = nll_fast.compare(x, y, shift=1, mask=mask)
    assert without.p_log_prob is None and without.target is None
    np.testing.assert_array_equal(without.kl_pq, shifted.kl_pq)
    np.testing.assert_array_equal(without.counted, shifted.counted)
    padded = np.concatenate([y, np.full((4, 30, 3), 50, np.float32)], -1)
    same(nll_fast.compare(x, padded, target, classes=classes), whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 2, 3, 7, 40, 128])
def test_few_classes_are_compared_as_more_of_which_the_rest_is_impossible(classes, dtype):
    """Rows of few classes have a lane each, those of more all lanes for themselves: two ways to one result."""
    r = np.random.default_rng(classes)
    x, y = np.round(r.standard_normal((2, 70, classes)) * 3)
    y += r.standard_normal(y.shape) * np.repeat([1e-9, 1e-3, 1, 30, 0, 0, 0], 10)[:, None]
    y[50:60] = np.where(r.random((10, classes)) < 0.3, -np.inf, y[50:60])
    x[60], y[61], x[62] = np.nan, np.inf, -np.inf
    target = r.integers(0, classes, 70)
    target[5::9] = -100
    rest = np.full((70, 129), -np.inf)
    for top_k in {1, min(5, classes), classes}:
        few, more = (
            nll_fast.compare(*(z.astype(DTYPES[dtype]) for z in pair), target, top_k=top_k)
            for pair in ((x, y), (np.hstack([x, rest]), np.hstack([y, rest])))
        )
        for name in OTHERS:
            np.testing.assert_array_equal(getattr(few, name), getattr(more, name), err_msg=name)
        for name in FLOATS:
            got, want = getattr(few, name), getattr(more, name)
            np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=name)
            np.testing.assert_array_max_ulp(got, want, 3)


@pytest.mark.parametrize("change", [{"temperature": 1e-3}, {"softcap": 5.0}])
@pytest.mark.parametrize("classes", [5, 128, 129, (1 << 18) + 5])
def test_logits_of_two_types_are_changed_in_the_wider_one_in_every_field(classes, change):
    x, y, _ = draw(classes)
    y, target = y.astype(np.float64), x.argmax(-1)
    both = nll_fast.compare(x, y, target, **change)
    np.testing.assert_array_equal(both.p_log_prob, both.p_max_log_prob)
    wide = nll_fast.compare(x.astype(np.float64), y, target, **change)
    same(both, wide)
    other = nll_fast.compare(y, x, target, **change)
    np.testing.assert_array_equal(other.q_log_prob, both.p_log_prob)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"q_logits": np.zeros((2, 7))},
            r"p_logits have shape \(2, 5\), class axis last, and q_logits \(2, 7\); .* pass classes=5",
        ),
        ({"q_logits": np.zeros((3, 5))}, r"p_logits have shape \(2, 5\), class axis last, and q_logits \(3, 5\)"),
        ({"classes": 6}, r"classes is 6, but p_logits have shape \(2, 5\)"),
        ({"classes": 0}, "classes is 0"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_k": 6}, "top_k is 6, but there are 5 classes"),
        ({"top_k": 5, "classes": 4}, "top_k is 5, but there are 4 classes"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        (
            {"temperature": 1e-46, "p_logits": np.zeros((2, 5), "f4"), "q_logits": np.zeros((2, 5), "f2")},
            "temperature is 1e-46, which is 0 in float32",
        ),
        ({"softcap": 0.0}, "softcap is 0.0"),
        ({"mask": [True]}, r"mask has shape \(1,\)"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        nll_fast.compare(**{"p_logits": np.zeros((2, 5)), "q_logits": np.zeros((2, 5)), **options})


@pytest.mark.parametrize(("classes", "top_k"), [(4, 4), (5, 5), (9, 5)])
def test_five_of_the_likeliest_classes_are_compared_or_all_of_fewer(classes, top_k):
    x = np.random.default_rng(0).standard_normal((2, 3, classes))
    assert nll_fast.compare(*x).top_k == top_k
    same(nll_fast.compare(*x), nll_fast.compare(*x, top_k=top_k))


def test_statistics_are_llama_cpps_formulas():
    """Written out as perplexity.cpp has them, from log-probabilities in float64."""
    x, y, target = draw(500, "float64", rows=60)
    summary = nll_fast.compare(x, y, target).summary()
    base, other = (-nll_fast.token_log_probs(z, target) for z in (x, y))
    n = len(target)

    def mean_and_error(values):
        mean = values.sum() / n
        return mean, np.sqrt(((values**2).sum() / n - mean**2) / (n - 1))

    (b, b_error), (o, o_error) = mean_and_error(base), mean_and_error(other)
    covariance = ((base * other).sum() / n - b * o) / (n - 1)
    close = {"rtol": 1e-8}
    np.testing.assert_allclose(summary["Mean PPL(Q)"], (np.exp(o), np.exp(o) * o_error), **close)
    np.testing.assert_allclose(summary["Cor(ln(PPL(Q)), ln(PPL(base)))"], covariance / (b_error * o_error), **close)
    error = np.sqrt(b_error**2 + o_error**2 - 2 * covariance)
    np.testing.assert_allclose(summary["Mean ln(PPL(Q)/PPL(base))"], (o - b, error), **close)
    change = np.exp(-other) - np.exp(-base)
    square, square_error = mean_and_error(change**2)
    np.testing.assert_allclose(
        summary["RMS Δp"], (100 * np.sqrt(square), 100 * 0.5 / np.sqrt(square) * square_error), **close
    )
    np.testing.assert_allclose(summary["99.0% Δp"], 100 * np.quantile(change, 0.99), **close)
    divergences = nll_fast.kl_divergence(x, y, reduction="none")
    np.testing.assert_allclose(summary["Mean KLD"], mean_and_error(divergences), **close)
    np.testing.assert_allclose(summary["90.0% KLD"], np.quantile(divergences, 0.9), **close)
    assert summary["kl_pq"]["mean"] == np.float64(nll_fast.kl_divergence(x, y))
    same_top = (x.argmax(-1) == y.argmax(-1)).mean()
    np.testing.assert_allclose(
        summary["Same top p"], (100 * same_top, 100 * np.sqrt(same_top * (1 - same_top) / (n - 1)))
    )
