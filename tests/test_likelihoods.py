"""What is special about the losses of single observations: limits among others, shorter ways, small types, rewards."""

import nll_fast
import numpy as np
import pytest
from ml_dtypes import bfloat16
from mpmath import mp, mpf
from nll_fast import reference

from .cases import CASES

DPO = [name for name, case in CASES.items() if case.function == "dpo_loss"]
INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_binary_limits_stand_among_others(dtype):
    """The formula is NaN at x = ±∞, and on the x86 baseline at the largest x: blocks with such are looked at again."""
    most = np.finfo(dtype).max
    r = np.random.default_rng(1)
    wide, soft = r.standard_normal(5000) * 30, r.random(5000)
    special = np.array([INF, -INF, NAN, most, -most, most / 3, 0.0, -0.0], dtype)
    x = np.concatenate([wide.astype(dtype), np.repeat(special, 5)])
    y = np.concatenate([soft.astype(dtype), np.tile(np.array([0, 1, 0.25, NAN, 1 - 2**-20], dtype), len(special))])
    order = r.permutation(len(x))
    x, y = x[order], y[order]
    losses = nll_fast.binary_cross_entropy_with_logits(x, y, reduction="none")
    want = reference.binary_cross_entropy_with_logits(x.astype("f8"), y.astype("f8"), reduction="none")
    np.testing.assert_allclose(losses, want.astype(dtype), rtol=4 * np.finfo(dtype).eps)
    alone = [nll_fast.binary_cross_entropy_with_logits(x[i : i + 1], y[i : i + 1]) for i in range(len(x))]
    assert np.array_equal(losses.astype("f8"), alone, equal_nan=True)


def test_shared_formulas_share_their_bits():
    a, b = np.float64([2.0, -3.5, 40.0]), np.float64([0.5, 1.25, -0.75])
    bt = nll_fast.bradley_terry_loss(a, b, reduction="none")
    bce = nll_fast.binary_cross_entropy_with_logits(a - b, [1, 1, 1], reduction="none")
    assert np.array_equal(bt, bce) and np.array_equal(bt, nll_fast.softplus(b - a))
    assert np.array_equal(bt, nll_fast.dpo_loss(a, b, beta=1.0, reduction="none"))
    assert np.array_equal(bt, nll_fast.cross_entropy(np.stack([a, b], -1), [0, 0, 0], reduction="none"))
    single = np.float32(a), np.float32(b)
    bt = nll_fast.bradley_terry_loss(*single, reduction="none")
    assert np.array_equal(bt, nll_fast.dpo_loss(*single, beta=1.0, reduction="none"))
    half = nll_fast.gaussian_nll_loss(a, b, 1.0, reduction="none")
    assert np.array_equal(half, 0.5 * nll_fast.mse_loss(a, b, reduction="none"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axis", [-1, 0])
def test_two_classes_are_a_pair_of_which_one_is_preferred(dtype, axis):
    r = np.random.default_rng(7)
    x = (r.standard_normal((1000, 2)) * np.exp(r.uniform(-5, 6, (1000, 1)))).astype(dtype)
    x[::7] = np.round(x[::7])
    x[:6] = [[-np.inf, 0], [0, -np.inf], [1, 1], [1e30, -1e30], [-np.inf, -np.inf], [np.nan, 0]]
    target = r.integers(0, 2, 1000)
    chosen, rejected = x[np.arange(1000), target], x[np.arange(1000), 1 - target]
    want = nll_fast.bradley_terry_loss(chosen, rejected, reduction="none")
    logits = x if axis == -1 else np.ascontiguousarray(x.T)
    losses = nll_fast.cross_entropy(logits, target, axis=axis, reduction="none")
    assert np.array_equal(losses, want, equal_nan=True)
    alone = [nll_fast.cross_entropy(row, t, reduction="none") for row, t in zip(x, target, strict=True)]
    assert np.array_equal(losses, np.ravel(alone), equal_nan=True)
    part = nll_fast.cross_entropy(logits, target, axis=axis, reduction="partial", ignore_index=0)
    first = (target == 1) & (x[:, 1] > x[:, 0]) & ~np.isnan(losses)
    assert part.top1 == first.sum() and part.ignored == (target == 0).sum()
    # Unlike a score, a logit of +∞ leaves no probabilities.
    assert np.isnan(nll_fast.cross_entropy(np.array([[np.inf, 0], [0, np.inf]], dtype), [0, 0], reduction="none")).all()


def logps_of(dtype):
    """Log-probabilities of four kinds of size, some of them impossible or unknown."""
    r = np.random.default_rng(11)
    logps = [(-r.random(4000) * 10.0 ** r.integers(-3, 10, 4000)).astype(dtype) for _ in range(4)]
    for x in logps:
        x[r.integers(0, 4000, 40)] = r.choice([-INF, NAN, INF, 0.0, -3e38], 40)
    return logps


@pytest.mark.parametrize("name", DPO)
def test_dpo_of_float32_is_that_of_float64_rounded(name):
    """Every derivative, and every value but that of the usual loss, which has a table in float32."""
    options = CASES[name].keywords
    logps = logps_of("float32")
    value, slope = nll_fast.dpo_loss(*logps, reduction="none", grad=True, **options)
    wide, wide_slope = nll_fast.dpo_loss(*(x.astype("f8") for x in logps), reduction="none", grad=True, **options)
    is_plain = options.get("loss_type", "sigmoid") == "sigmoid" and not options.get("label_smoothing")
    with np.errstate(over="ignore"):
        rounded = wide.astype("f4")
        np.testing.assert_allclose(slope, wide_slope.astype("f4"), rtol=1.2e-7, atol=1e-45)
    if is_plain:
        with np.errstate(invalid="ignore"):
            error = np.abs(value - wide) / np.maximum(np.spacing(rounded), 2.0**-149)
        assert np.nanmax(np.where(value == rounded, 0, error)) <= 1.7
    else:
        assert np.array_equal(value, rounded, equal_nan=True)
    assert value.dtype == slope.dtype == np.float32 and np.array_equal(np.isnan(value), np.isnan(wide))
    alone = [nll_fast.dpo_loss(*(x[i : i + 1] for x in logps), reduction="none", **options) for i in range(200)]
    assert np.array_equal(value[:200], np.ravel(alone), equal_nan=True)


def test_the_smoothed_dpo_slope_of_float32_has_its_digits_where_it_crosses_0():
    chosen = np.log(0.7 / 0.3).astype("f4") + np.arange(-50, 50, dtype="f4") * 2.0**-24
    options = {"beta": 1.0, "label_smoothing": 0.3, "grad": True, "wrt": "policy_chosen_logps", "reduction": "none"}
    _, slope = nll_fast.dpo_loss(chosen, 0 * chosen, **options)
    _, want = nll_fast.dpo_loss(chosen.astype("f8"), 0.0 * chosen.astype("f8"), **options)
    assert np.array_equal(slope, want.astype("f4"))


def test_dpo_returns_what_each_answer_earned():
    logps = -50 * np.random.default_rng(2).random((4, 300))
    loss, rewards = nll_fast.dpo_loss(*logps, beta=0.3, return_rewards=True)
    assert loss == nll_fast.dpo_loss(*logps, beta=0.3)
    np.testing.assert_allclose(rewards["chosen"], 0.3 * (logps[0] - logps[2]), rtol=1e-14)
    np.testing.assert_array_equal(rewards["margins"], rewards["chosen"] - rewards["rejected"])
    assert rewards["accuracy"] == np.mean(rewards["margins"] > 0)


def test_small_types_are_read_by_value():
    assert nll_fast.gaussian_nll_loss([0.0], [1.0], sigma=np.array([20], "u1")) == pytest.approx(
        nll_fast.gaussian_nll_loss([0.0], [1.0], sigma=20.0)
    )
    x, y = np.random.default_rng(3).standard_normal((4, 5)), np.arange(4)
    for dtype in (">i8", ">i4", "u1", "i2"):
        assert nll_fast.cross_entropy(x, y.astype(dtype)) == nll_fast.cross_entropy(x, y)
    unaligned = np.zeros(33, np.uint8)[1:].view("i8")
    unaligned[:] = y
    assert nll_fast.cross_entropy(x, unaligned) == nll_fast.cross_entropy(x, y)
    weight = np.array([1, 2, 0.5, 1, 1])
    want = nll_fast.cross_entropy(x, y, weight=weight)
    for other in (weight.astype(bfloat16), weight.astype(">f4"), weight.tolist()):
        assert nll_fast.cross_entropy(x, y, weight=other) == want


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_hard_labels_take_a_shorter_way_to_the_same_bits(dtype):
    """A chunk whose labels are all 0 or 1 takes one logarithm each: beside one soft label it takes two."""
    r = np.random.default_rng(4)
    p = np.concatenate([[0, 1, 1e-7, 0.5, 1 - 2**-10], r.random(5000)]).astype(dtype)
    y = np.concatenate([[0, 1, 1, 0, 0], r.integers(0, 2, 5000)]).astype(dtype)
    y[0], y[1] = 1, 0  # the clamp
    for clamp in ("torch", "eps", None):
        hard = nll_fast.binary_cross_entropy(p, y, clamp=clamp, reduction="none")
        soft = y.copy()
        soft[64::128] = 0.5
        mixed = nll_fast.binary_cross_entropy(p, soft, clamp=clamp, reduction="none")
        np.testing.assert_array_equal(hard[soft == y], mixed[soft == y])
        assert (hard[soft != y] != mixed[soft != y]).any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_variances_of_every_size_with_and_without_a_floor(dtype):
    """eps = 0 lets subnormal variances and 0 through; a usual eps takes a logarithm that knows neither."""
    tiny = np.finfo(dtype).smallest_subnormal
    v = np.array([0, tiny, 100 * tiny, np.finfo(dtype).tiny, 1e-30, 1.0, np.finfo(dtype).max, INF, NAN], dtype)
    for eps in (0.0, 1e-6, 1e-300):
        got = nll_fast.gaussian_nll_loss(np.zeros_like(v), np.zeros_like(v), v, eps=eps, reduction="none")
        floor = dtype(eps)
        with np.errstate(divide="ignore"):
            want = 0.5 * np.log(np.where(v < floor, floor, v).astype(np.float64))
        want[(v == 0) & (floor == 0)] = NAN  # 0/0
        np.testing.assert_allclose(got, want, rtol=3e-7 if dtype == np.float32 else 1e-15)


@pytest.mark.parametrize(
    ("dtype", "distance", "log_var"),
    [(np.float32, *x) for x in [(1e-30, -160), (1e-38, -240), (-1e-20, -130), (3e-44, -280), (1e30, 150), (1e-2, 90)]]
    + [(np.float64, *x) for x in [(1e-282, -1300), (1e-307, -2000), (-1e-200, -1000), (1e200, 1200), (1.5, -700)]],
)  # fmt: skip
def test_a_gaussian_loss_is_finite_where_its_distance_times_its_precision_is_not(dtype, distance, log_var):
    """It was infinite, and so was its derivative by the logarithm of the variance."""
    d = dtype(distance)
    loss, (slope,) = nll_fast.gaussian_nll_loss([dtype(0)], [d], log_var=[dtype(log_var)], grad=True, wrt="log_var")
    half_square = mpf(float(d)) ** 2 * mp.exp(-log_var) / 2
    assert loss == pytest.approx(float(half_square + mpf(log_var) / 2), rel=3 * float(np.finfo(dtype).eps))
    assert slope == pytest.approx(float(mpf(1) / 2 - half_square), rel=3 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize(("dtype", "distance", "var"), [(np.float32, 1e-5, 1e-45), (np.float64, 1e-12, 5e-324)])
def test_a_gaussian_loss_of_the_least_variances_is_finite(dtype, distance, var):
    d, v = dtype(distance), dtype(var)
    loss = nll_fast.gaussian_nll_loss([dtype(0)], [d], [v], eps=0)
    want = mpf(float(d)) ** 2 / mpf(float(v)) / 2 + mp.log(mpf(float(v))) / 2
    assert loss == pytest.approx(float(want), rel=3 * float(np.finfo(dtype).eps))
    assert nll_fast.gaussian_nll_loss([dtype(0)], [dtype(1e20)], [v], eps=0, reduction="none") == [np.inf]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_limits_and_derivatives_of_laplace(dtype):
    """An observation at the mean, and infinite, tiny and missing arguments."""
    mean = np.array([0, 1, 1, 1, NAN, 0, 0, 0, 2], dtype)
    target = np.array([0, 1, 1, 1, 1, INF, 1, 0.5, 1], dtype)
    scale = np.array([0.5, 0, 0.25, NAN, 1, 1, INF, np.finfo(dtype).max, 0.5], dtype)
    want = [0, np.log(2e-6), np.log(0.5), NAN, NAN, INF, INF, np.log(2) + np.log(float(scale[7])), 2]
    rtol = 3e-7 if dtype == np.float32 else 1e-15
    got, slope, second = nll_fast.laplace_nll_loss(mean, target, scale, reduction="none", grad=True, hess="upper")
    np.testing.assert_allclose(got, want, rtol=rtol)
    np.testing.assert_allclose(slope, [0, 0, 0, NAN, NAN, -1, 0, -1 / scale[7], 2], rtol=rtol)
    np.testing.assert_allclose(second, [INF, INF, INF, NAN, NAN, 0, 0, 2 / scale[7], 2], rtol=rtol)
    with np.errstate(divide="ignore"):
        log_scale = np.log(scale)
    logs = nll_fast.laplace_nll_loss(mean, target, log_scale=log_scale, reduction="none", grad=True, hess="exact")
    want[1] = -INF  # a logarithm has no floor
    np.testing.assert_allclose(logs[0], want, rtol=rtol, atol=rtol)
    np.testing.assert_array_equal(logs[2][~np.isnan(logs[2])], 0)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "words"),
    [
        (([-1.0],), {}, ValueError, r"scale is -1.*a scale cannot be negative"),
        ((), {}, TypeError, "exactly one"),
        ((1.0,), {"log_scale": 0.0}, TypeError, "exactly one"),
        ((1.0,), {"eps": -1}, ValueError, "eps is -1"),
    ],
)
def test_wrong_arguments_of_laplace_are_named(arguments, keywords, error, words):
    with pytest.raises(error, match=words):
        nll_fast.laplace_nll_loss([0.0], [0.0], *arguments, **keywords)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_negative_count_is_named_unless_it_is_masked_or_not_validated(dtype):
    rate, count = np.zeros(3000, dtype), np.ones(3000, dtype)
    count[2000] = -2
    with pytest.raises(ValueError, match=r"target is -2.0 at index \(2000,\); a count cannot be negative"):
        nll_fast.poisson_nll_loss(rate, count)
    assert nll_fast.poisson_nll_loss(rate, count, mask=count > 0) == 1.0
    assert nll_fast.poisson_nll_loss(rate, count, validate=False, reduction="sum") == 3000.0


@pytest.mark.parametrize("label", [np.float16(0), np.float32(0), np.float64(0)])
def test_clipping_keeps_certain_mistakes_finite_whatever_the_type_of_the_labels(label):
    for probs in (np.array([1]), np.array([True]), [1]):
        loss = nll_fast.binary_cross_entropy(probs, np.array([label]), clamp="eps", validate=False)
        epsilon = np.finfo(np.float64 if label.dtype == np.float64 else np.float32).eps
        assert loss == pytest.approx(-np.log(epsilon), rel=1e-6)
        right = nll_fast.binary_cross_entropy(probs, np.array([1 - label]), clamp="eps", validate=False)
        assert right == pytest.approx(epsilon, rel=1e-6)
