"""Rows that the kernels compute again by the plain formula: those of huge logits, and smoothed losses that cancel."""

from functools import partial

import mpmath
import nll_fast
import numpy as np
import pytest
from mpmath import mpf

mpmath.mp.dps = 60
SIZES = [0, 1, 30, 1000, 1e269, 1e271, 1e288, 1e300, 1e308, 1.7e308]


def log_probs(x):
    """Exact log-probabilities of a row, by the sum of the other classes."""
    x = [mpf(float(value)) for value in x]
    likely = max(range(len(x)), key=x.__getitem__)
    others = mpmath.fsum(mpmath.exp(x[c] - x[likely]) for c in range(len(x)) if c != likely)
    return [value - x[likely] - mpmath.log1p(others) for value in x]


def expected_loss(shares, x):
    return -mpmath.fsum(a * log_p for a, log_p in zip(map(mpf, shares), log_probs(x), strict=True) if a)


def probability(log_p):
    """As a float64: 0 if it is below the least one."""
    return mpmath.exp(log_p) if log_p > -746 else mpf(0)


def divergence_and_slopes(x, y):
    log_p, log_q = log_probs(x), log_probs(y)
    p, q = [[probability(value) for value in values] for values in (log_p, log_q)]
    value = mpmath.fsum(a * (b - c) for a, b, c in zip(p, log_p, log_q, strict=True))
    by_p = [a * (b - c - value) for a, b, c in zip(p, log_p, log_q, strict=True)]
    largest = max(abs(b - c) for b, c in zip(log_p, log_q, strict=True))
    return value, by_p, [b - a for a, b in zip(p, q, strict=True)], [max(a, mpf(2) ** -1022) * largest for a in p]


def assert_close(got, want, ulp, scale=0):
    """Within some ulp of the number or of a scale, whatever is beyond all numbers."""
    with np.errstate(over="ignore"):
        want, scale = float(want), float(scale)
    size = min(max(abs(want), abs(scale), 1e-300), 1.7e308)
    assert got == want or abs(got - want) <= ulp * np.spacing(size), (got, want)


def huge_rows(seed, classes):
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, classes) * random.choice(SIZES, classes if seed % 2 else 1)
    x[random.integers(classes)] = random.choice([-1.7e308, 1.7e308, 1e308, 0])
    return x


def losses(x, target, **options):
    return nll_fast.cross_entropy(x[None], [target], reduction="none", **options)[0]


@pytest.mark.parametrize("classes", [2, 3, 10, 128, 129, 300, 2**18 + 5])
def test_losses_of_huge_logits_are_finite_where_they_are_numbers(classes):
    """The difference of two logits may be beyond all numbers, and the loss not."""
    random, small = np.random.default_rng(classes), classes < 1000
    for seed in range(12 if small else 2):
        x, target = huge_rows(seed, classes), int(random.integers(classes))
        if not small:
            x[5:] = 0
        weight = random.choice([0.25, 1, 1e-3], classes)
        soft = random.random(classes) * (random.random(classes) < 3 / classes)
        soft /= max(soft.sum(), 1)
        smooth = [mpf(0.1) / classes * mpf(w) for w in weight]
        smooth[target] += (1 - mpf(0.1)) * mpf(weight[target])
        even = [mpf(0.1) / classes] * classes
        even[target] += 1 - mpf(0.1)
        loss = partial(losses, x)
        calls = [
            (loss(target, weight=weight), [weight[target] * (c == target) for c in range(classes)]),
            (loss(target, label_smoothing=0.1), even),
            (loss(target, label_smoothing=0.1, weight=weight), smooth),
            (loss(soft), soft),
            (loss(soft, weight=weight), [mpf(a) * mpf(b) for a, b in zip(soft, weight, strict=True)]),
        ]
        for number, (got, shares) in enumerate(calls if small else calls[1:2]):
            # A smoothed loss that other weights than the target's decide: docs/accuracy.md.
            assert_close(got, expected_loss(shares, x), 25 if number == 2 else 3)


@pytest.mark.parametrize("classes", [2, 3, 10, 129, 300, 2**18 + 5])
def test_slopes_of_divergences_of_huge_logits_are_finite_where_they_are_numbers(classes):
    small = classes < 1000
    for seed in range(12 if small else 1):
        x, y = huge_rows(seed, classes), huge_rows(seed + 1000, classes)
        if not small:
            x[5:], y[5:] = -1000, 0
        options = {"reduction": "none", "grad": True, "wrt": ["p_logits", "q_logits"]}
        value, (by_p, by_q) = nll_fast.kl_divergence(x[None], y[None], **options)
        want, want_by_p, want_by_q, scale = divergence_and_slopes(x, y)
        assert_close(value[0], want, 10)
        for c in range(classes if small else 7):
            assert_close(by_p[0, c], want_by_p[c], 10, scale[c])
            assert_close(by_q[0, c], want_by_q[c], 10, 1)


def test_a_row_with_an_infinite_logit_is_not_computed_from_its_huge_ones():
    for x in ([np.inf, 1e308, 0], [np.nan, 1e308, 0], [-np.inf, -1e308, np.inf]):
        for options in ({"label_smoothing": 0.1}, {"weight": [1.0, 0.5, 0.25]}):
            got = [nll_fast.cross_entropy(np.array([x]), [t], reduction="none", **options)[0] for t in range(3)]
            plain = [a * 1e-300 if np.isfinite(a) else a for a in x]
            want = [nll_fast.cross_entropy(np.array([plain]), [t], reduction="none", **options)[0] for t in range(3)]
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("dtype", "ulp"), [(np.float64, 3), (np.float32, 2)])
@pytest.mark.parametrize("classes", [2, 3, 129])
def test_a_smoothed_loss_that_only_a_certain_class_has_keeps_its_digits(dtype, ulp, classes):
    """The target weighs nothing, and a class of weight is nearly certain: lse − x cancels. It was below 0 once."""
    for far in (16.5, 40, 60, 200, 700):
        x = np.full(classes, -30 - far, dtype)
        x[0] = -30
        weight = np.zeros(classes)
        weight[0] = 0.25
        for target in (1, classes - 1):
            got = nll_fast.cross_entropy(x[None], [target], weight=weight, label_smoothing=0.1, reduction="none")[0]
            want = mpf(0.1) / classes * mpf(0.25) * -log_probs(x)[0]
            size = max(float(want), float(np.finfo(dtype).tiny))
            assert got >= 0 and abs(got - want) <= ulp * float(np.spacing(dtype(size))), (far, target)


def test_a_class_that_only_p_has_makes_a_divergence_infinite_beside_huge_logits():
    """Its probability may be below the least number, and its slopes are those of any infinite divergence."""
    for huge in (-5e269, -5e270, -1e308):
        for x, y in (([-1e5, 0, 0], [-np.inf, 0, huge]), ([huge, 0, 0], [-np.inf, 0, 0])):
            assert nll_fast.kl_divergence([x], [y]) == np.inf
            assert nll_fast.compare(np.array([x], float), np.array([y], float)).kl_pq[0] == np.inf
    assert nll_fast.kl_divergence([[-np.inf, 0.0, 1.0]], [[-np.inf, 0.0, -1e308]]) > 1e307


def test_weights_below_0_do_not_change_the_bits_of_a_loss():
    x = np.random.default_rng(0).standard_normal((500, 3))
    target, weight = np.random.default_rng(1).integers(0, 3, 500), np.array([1, 0.7, 0.3])
    a, b = (nll_fast.cross_entropy(x, target, weight=w, reduction="none") for w in (weight, -weight))
    np.testing.assert_array_equal(a, -b)


def test_ignored_and_ordinary_rows_beside_a_huge_one_stay_as_they_are():
    x = np.random.default_rng(0).standard_normal((300, 5))
    target, weight = np.arange(300) % 5, [1.0, 0.5, 2.0, 1.0, 3.0]
    target[::7] = -100
    options = {"weight": weight, "label_smoothing": 0.1, "reduction": "none"}
    want = nll_fast.cross_entropy(x, target, **options)
    x[[7, 31]] = [1e308, 0, -1e308, 1, 2]
    got = nll_fast.cross_entropy(x, target, **options)
    assert got[7] == 0 and 0 < got[31] < np.inf
    np.testing.assert_array_equal(np.delete(got, 31), np.delete(want, 31))
