"""Weights, masks and shapes: what counts in a loss, and how an array fits the shape of the losses."""

import nll_fast
import numpy as np
import pytest
from mpmath import mpf

from .cases import mp

R = np.random.default_rng(8)
MEAN, TARGET = R.standard_normal((2, 4, 3))
VAR = R.random(4) + 0.5
PAIRS = {
    "gaussian_nll_loss": {"var": 1.0},
    "laplace_nll_loss": {"scale": 1.0},
    "poisson_nll_loss": {"validate": False},
    "mse_loss": {},
    "kl_div": {},
    "rel_entr": {},
    "binary_cross_entropy_with_logits": {"validate": False},
    "bradley_terry_loss": {},
    "dpo_loss": {},
}


@pytest.mark.parametrize("function", PAIRS)
def test_a_column_beside_a_vector_is_no_square(function):
    """(n, 1) beside (n,) was a loss of n x n numbers in four functions."""
    y = np.array([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(3,\) differ"):
        getattr(nll_fast, function)(y[:, None], y, **PAIRS[function])


def test_a_variance_may_be_one_for_each_row_or_for_each_column():
    by_rows = nll_fast.gaussian_nll_loss(MEAN, TARGET, VAR, reduction="none")
    assert np.array_equal(by_rows, nll_fast.gaussian_nll_loss(MEAN, TARGET, VAR[:, None], reduction="none"))
    by_columns = nll_fast.gaussian_nll_loss(MEAN, TARGET, VAR[:3], reduction="none")
    assert np.array_equal(by_columns, nll_fast.gaussian_nll_loss(MEAN, TARGET, VAR[None, :3], reduction="none"))
    deep = np.broadcast_to(MEAN, (2, 4, 3))
    both = nll_fast.gaussian_nll_loss(deep, deep.copy(), np.stack([VAR, VAR + 1]), reduction="none")
    assert np.array_equal(both[1], nll_fast.gaussian_nll_loss(MEAN, MEAN, VAR + 1, reduction="none"))
    fortran = nll_fast.gaussian_nll_loss(np.asfortranarray(MEAN), TARGET, VAR, reduction="none")
    assert np.array_equal(fortran, by_rows)


@pytest.mark.parametrize(
    ("function", "name"),
    [("gaussian_nll_loss", "var"), ("gaussian_nll_loss", "log_var"), ("gaussian_nll_loss", "sigma"),
     ("laplace_nll_loss", "scale"), ("laplace_nll_loss", "log_scale"), ("poisson_nll_loss", "log_offset"),
     ("mse_loss", "weight"), ("mse_loss", "mask")],
)  # fmt: skip
def test_a_variance_that_may_be_either_is_an_error_that_spells_both(function, name):
    square = np.abs(MEAN[:3])
    with pytest.raises(ValueError, match=rf"write {name}\[None, :\] or {name}\[:, None\]"):
        getattr(nll_fast, function)(square, square, **{name: np.ones(3, int)})
    one = getattr(nll_fast, function)(square[:1], square[:1], **{name: np.ones(1, int)}, reduction="none")
    assert one.shape == (1, 3)


def test_a_weight_of_each_positive_label_follows_numpy_as_in_torch():
    square = np.abs(MEAN[:3]) / 9
    loss = nll_fast.binary_cross_entropy_with_logits(MEAN[:3], square, pos_weight=[1.0, 2.0, 3.0], reduction="none")
    one = nll_fast.binary_cross_entropy_with_logits(MEAN[0, 1], square[0, 1], pos_weight=2.0, reduction="none")
    assert loss[0, 1] == one


@pytest.mark.parametrize("function", ["gaussian_nll_loss", "laplace_nll_loss", "poisson_nll_loss", "mse_loss"])
def test_what_is_masked_is_not_looked_at(function):
    """A missing value may be NaN, its variance negative, its label no label."""
    spread = {"gaussian_nll_loss": "var", "laplace_nll_loss": "scale"}.get(function)
    mean, target = np.abs(MEAN), np.abs(TARGET)
    options = {spread: np.full((4, 3), 0.5)} if spread else {}
    keep = np.ones((4, 3), bool)
    keep[1, 2] = keep[3, 0] = False
    want = getattr(nll_fast, function)(mean[keep], target[keep], **{key: x[keep] for key, x in options.items()})
    mean[1, 2], target[3, 0] = np.nan, np.inf
    for x in options.values():
        x[1, 2] = -1.0
    for mask in (keep, keep.astype(int), keep.tolist()):
        assert getattr(nll_fast, function)(mean, target, **options, mask=mask) == want
    each, gradient = getattr(nll_fast, function)(mean, target, **options, mask=keep, reduction="none", grad=True)
    assert np.all(each[~keep] == 0) and np.all(gradient[~keep] == 0) and np.all(np.isfinite(gradient))
    part = getattr(nll_fast, function)(mean, target, **options, mask=keep, reduction="partial")
    assert (part.count, part.ignored) == (10, 2)


def test_labels_that_are_masked_are_not_checked():
    y = np.array([0, 1, 255, 1])
    x = np.array([1.0, -2.0, 0.3, np.nan])
    want = nll_fast.binary_cross_entropy_with_logits(x[:2], y[:2])
    assert nll_fast.binary_cross_entropy_with_logits(x, y, mask=[1, 1, 0, 0]) == want
    with pytest.raises(ValueError, match="target is 255"):
        nll_fast.binary_cross_entropy_with_logits(x, y)
    loss = nll_fast.binary_cross_entropy_with_logits(x[:3], y[:3], validate=False, reduction="none")
    assert loss[2] < 0


@pytest.mark.parametrize("soft", [False, True])
def test_a_weight_of_0_makes_an_infinite_loss_0(soft):
    """It was NaN for class indices, and 0 for distributions and in gradients."""
    x, w = np.array([[-np.inf, 0.0], [0.0, 0.0]]), [0.0, 1.0]
    target = np.eye(2) if soft else [0, 1]
    alone = nll_fast.cross_entropy(x[1:], target[1:])
    np.testing.assert_array_max_ulp(np.float64(alone), np.log(2), 1)
    assert nll_fast.cross_entropy(x, target, weight=w, reduction="sum") == alone
    assert nll_fast.cross_entropy(x, target, sample_weight=w) == alone
    if not soft:
        assert nll_fast.cross_entropy(x, target, weight=w) == alone
        assert not nll_fast.cross_entropy_grad(x, target, sample_weight=w)[0].any()
        assert nll_fast.nll_loss(x, target, weight=w) == 0.0
        assert nll_fast.categorical_nll(np.exp(x), target, weight=w) == 0.0


@pytest.mark.parametrize("classes", [3, 40, 300])
def test_a_sample_weight_counts_a_row_so_many_times(classes):
    r = np.random.default_rng(classes)
    x, target, times = r.standard_normal((60, classes)), r.integers(0, classes, 60), r.integers(0, 4, 60)
    target[::9] = -100
    many = np.repeat(x, times, 0), np.repeat(target, times)
    for options in ({}, {"weight": r.random(classes)}, {"label_smoothing": 0.2}):
        want = nll_fast.cross_entropy(*many, **options)
        assert nll_fast.cross_entropy(x, target, sample_weight=times, **options) == pytest.approx(want, rel=1e-14)
    gradient = nll_fast.cross_entropy_grad(x, target, sample_weight=times, reduction="sum")
    ones = nll_fast.cross_entropy_grad(x, target, reduction="sum")
    np.testing.assert_allclose(gradient, ones * times[:, None], rtol=1e-14)


@pytest.mark.parametrize("classes", [2, 3, 6, 12, 33, 128, 129, 400])
def test_a_smoothed_loss_with_class_weights_is_rounded_once(classes):
    """It lost what its two parts rounded, where most logits are far above the first: up to 50 ulp."""
    r, rows = np.random.default_rng(classes), max(8, 300 // classes)
    x = r.standard_normal((rows, classes)) * r.choice([1.0, 30.0, 300.0], (rows, 1))
    x += r.choice([0.0, -200.0, 1e4], (rows, 1))
    x[::2, 0] -= r.choice([500.0, 3e4], (len(x[::2]),))
    target, weight = r.integers(0, classes, rows), r.uniform(0.1, 3, classes)
    weight[2:3] = 0.0
    for smoothing in (0.1, 0.9):
        got = nll_fast.cross_entropy(x, target, weight=weight, label_smoothing=smoothing, reduction="none")
        for i in range(rows):
            logits = [mpf(v) for v in x[i].tolist()]
            lse = max(logits) + mp.log(mp.fsum(mp.exp(v - max(logits)) for v in logits))
            shares = [smoothing / mpf(classes)] * classes
            shares[target[i]] += 1 - mpf(smoothing)
            want = mp.fsum(s * mpf(w) * (lse - v) for s, w, v in zip(shares, weight.tolist(), logits, strict=True))
            assert abs(mpf(float(got[i])) - want) <= 2 * mpf(float(np.spacing(float(want)))), (x[i], target[i])


def test_a_target_of_weight_0_far_below_the_others_leaves_the_smoothed_loss_its_digits():
    x, weight = np.array([[far, 1.0, 2.0] for far in (-100, -1e10, -1e300, -np.inf)]), [0.0, 1.0, 1.0]
    for rows, w in ((x, weight), (np.hstack([x, np.full((4, 200), -np.inf)]), [*weight, *[0.0] * 200])):
        options = {"weight": w, "label_smoothing": 0.3 * len(w) / 203, "reduction": "none"}
        got = nll_fast.cross_entropy(rows, [0] * 4, **options)
        assert got == pytest.approx(0.3 / 203 * (2 * np.log1p(np.e) - 1), rel=1e-15)


def test_labels_may_be_booleans_or_whole_floats():
    """Boosting libraries hand over labels as floats, data frames as booleans."""
    x = R.standard_normal((4, 3))
    want = nll_fast.cross_entropy(x, [1, 0, 1, 1])
    for labels in ([True, False, True, True], np.float32([1, 0, 1, 1]), np.array([1.0, 0.0, 1.0, 1.0])):
        assert nll_fast.cross_entropy(x, labels) == want
        assert nll_fast.categorical_nll(np.abs(x) / 9, labels) == nll_fast.categorical_nll(np.abs(x) / 9, [1, 0, 1, 1])
    assert nll_fast.cross_entropy(x, [1, np.nan, 1, 1], mask=[1, 0, 1, 1]) == nll_fast.cross_entropy(x, [1, -100, 1, 1])


def test_a_standard_deviation_is_a_parametrisation_of_its_own():
    """Its square overflowed, underflowed, changed the dtype, and was raised to eps without a word."""
    zero = np.zeros(1, np.float32)
    assert nll_fast.gaussian_nll_loss(zero, zero, sigma=np.float32([1e20]), full=True) == np.float32(46.97064)
    narrow = np.float32([1e-25])
    assert nll_fast.gaussian_nll_loss(zero, narrow, sigma=narrow) == pytest.approx(np.log(1e-25) + 0.5, rel=1e-7)
    assert nll_fast.gaussian_nll_loss(0.0, 0.0, sigma=1e-4, full=True) == pytest.approx(-8.291402, rel=1e-6)
    assert nll_fast.gaussian_nll_loss(zero, zero, sigma=np.array([2]), reduction="none").dtype == np.float32
    assert nll_fast.gaussian_nll_loss([0.0], [0.0], sigma=1e200) == pytest.approx(460.517018598809, rel=1e-15)
    assert nll_fast.gaussian_nll_loss([0.0, 1.0], [0.0, 0.0], sigma=0.0, reduction="none").tolist() == [-np.inf, np.inf]


def test_accuracy_of_rewards_is_of_the_pairs_that_count():
    chosen, rejected = [1.0, np.nan, 1.0, 1.0], [0.0, np.nan, 0.0, 2.0]
    rewards = nll_fast.dpo_loss(chosen, rejected, mask=[1, 0, 1, 0], return_rewards=True)[1]
    assert rewards["accuracy"] == 1.0


@pytest.mark.parametrize("weight", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(
    "loss",
    [nll_fast.binary_cross_entropy, nll_fast.binary_cross_entropy_with_logits, nll_fast.mse_loss, nll_fast.dpo_loss],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_elements_are_finite_as_those_of_classes_are(loss, weight, dtype):
    x, y, weights = np.full(9000, 0.25, dtype), np.ones(9000, dtype), np.ones(9000, dtype)
    weights[8000] = weight
    for given in (weights, weight):
        with pytest.raises(ValueError, match=rf"weight is {weight}; weights must be finite"):
            loss(x, y, weight=given)
    mask = np.isfinite(weights)
    assert loss(x, y, weight=weights, mask=mask) == loss(x, y, mask=mask)


@pytest.mark.parametrize(("w", "x"), [(1e6, 100), (1e30, 100), (1e30, 110), (1e38, 150)])
@pytest.mark.parametrize("rows", [1, 5000])
def test_a_loss_is_weighed_before_it_is_rounded(w, x, rows):
    """A float32 loss of 3.7e-44 has five bits, one of 1e-48 none; times a large weight it is an ordinary number."""
    logits, label, weight = (np.full(rows, value, np.float32) for value in (x, 1, w))
    want = np.full(rows, float(np.float32(w)) * np.exp(-float(x)))
    near = {"rtol": 2.4e-7, "atol": 0}
    binary, zero = nll_fast.binary_cross_entropy_with_logits, np.zeros(rows, np.float32)
    ordinary = logits.copy()
    ordinary[1::2] = 1.0
    for given in (logits, ordinary):
        here = given == x
        each, gradient = binary(given, label, weight=weight, reduction="none", grad=True)
        np.testing.assert_allclose(each[here], want[here], **near)
        np.testing.assert_allclose(-gradient[here], want[here], **near)
        # What is not rounded to a subnormal has the bits that it has beside others like it.
        plain = binary(given[~here], label[~here], weight=weight[~here], reduction="none")
        assert np.array_equal(each[~here], plain)
    np.testing.assert_allclose(binary(logits, label, pos_weight=weight, reduction="none"), want, **near)
    np.testing.assert_allclose(nll_fast.bradley_terry_loss(logits, zero, weight=weight, reduction="none"), want, **near)
    np.testing.assert_allclose(binary(logits, label, weight=weight), want[0], **near)


def test_a_small_weight_brings_a_loss_back_that_float32_does_not_hold():
    far, zero, w = np.float32([3e25, 1.0]), np.zeros(2, np.float32), np.float32([1e-30, 0.0])
    each, gradient = nll_fast.mse_loss(far, zero, weight=w, reduction="none", grad=True)
    np.testing.assert_allclose(each, [float(far[0]) ** 2 * float(w[0]), 0.0], rtol=1.2e-7)
    assert gradient[0] == np.float32(2 * float(far[0]) * float(w[0]))


@pytest.mark.parametrize(("w", "x"), [(1e6, 100), (1e27, 140), (1e26, 149)])
@pytest.mark.parametrize("classes", [2, 3, 200, 5000])
def test_a_row_is_weighed_before_float32_loses_its_terms(w, x, classes):
    """A term of e^-140 beside the largest had a few bits, although 1e27 times it is a normal number."""
    logits, target = np.zeros((2, classes), np.float32), np.zeros((2, classes), np.float32)
    logits[:, 1], target[:, 1] = x, 1
    w = float(np.float32(w))
    want, near = w * np.exp(-float(x)), {"rtol": 2.4e-7, "atol": 0}
    by_class, by_row = np.full(classes, w), np.full(2, w)
    for given in (target, np.array([1, 1])):
        for weights in ({"weight": by_class}, {"sample_weight": by_row}):
            each = nll_fast.cross_entropy(logits, given, reduction="none", **weights)
            np.testing.assert_allclose(each, (classes - 1) * want, **near)
    for reduction in ("sum", "mean"):
        slopes = nll_fast.cross_entropy_grad(logits, [1, 1], sample_weight=by_row, reduction=reduction)
        share = want if reduction == "sum" else np.exp(-float(x)) / 2
        share = share if share > 2e-45 else np.float32(0)
        np.testing.assert_allclose(slopes[:, 0], share, rtol=2.4e-7, atol=1.5e-45)
        np.testing.assert_allclose(-slopes[:, 1], (classes - 1) * share, rtol=2.4e-7, atol=classes * 1.5e-45)


def test_a_small_weight_brings_a_loss_of_two_classes_back():
    logits, weight = np.float32([[-3e38, 3e38], [1, 2]]), np.float32([0.125, 1])
    each = nll_fast.cross_entropy(logits, [0, 0], sample_weight=weight, reduction="none")
    np.testing.assert_allclose(each, [0.25 * float(np.float32(3e38)), np.log1p(np.exp(1))], rtol=1.2e-7)


@pytest.mark.parametrize("classes", [2, 200, 3000])
def test_a_weight_and_a_target_that_float32_does_not_hold_the_product_of(classes):
    """Rounded to 0, the product made an impossible class free."""
    target, weight = np.zeros((1, classes), np.float32), np.ones(classes)
    target[0, :2], weight[0] = (1e-20, 1), 1e-30
    logits, probs = np.zeros((1, classes), np.float32), np.full((1, classes), 1 / classes, np.float32)
    logits[0, 0], probs[0, 0] = -np.inf, 0
    assert nll_fast.cross_entropy(logits, target, weight=weight) == np.inf
    assert nll_fast.categorical_nll(probs, target, weight=weight) == np.inf
    logits[0, 0], target[0, 1] = -3e38, 0
    small = nll_fast.cross_entropy(logits, target, weight=weight, reduction="none")
    assert small[0] == pytest.approx(3e38 * 1e-50, rel=1e-6)
