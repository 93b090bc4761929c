"""Single values: limits, textbook numbers, and finite answers from enormous, cancelling or vanishing inputs.

Each line under "wrong once" was a bug; its number is mpmath's.
"""

import nll_fast as f
import numpy as np
import pytest

INF, NAN, LN2 = np.inf, np.nan, float(np.log(2))
F4, F8 = np.float32, np.float64


def bce(a, x, y, **more):
    return f.binary_cross_entropy_with_logits(a([x]), a([y]), **more)


def kl(a, x, y):
    return f.kl_divergence(a([x]), a([y]))


# of what makes arrays of the dtype under test, and the value
VALUES = [
    # binary_cross_entropy_with_logits
    (lambda a: bce(a, INF, 1), 0.0),
    (lambda a: bce(a, -INF, 0), 0.0),
    (lambda a: bce(a, INF, 0), INF),
    (lambda a: bce(a, -INF, 1), INF),
    (lambda a: bce(a, 1000, 0), 1000.0),
    (lambda a: bce(a, -1000, 0), 0.0),
    (lambda a: bce(a, 40, 1), 4.248354255291589e-18),
    (lambda a: bce(a, -37, 0), 8.533047625744066e-17),
    (lambda a: bce(a, NAN, 1), NAN),
    (lambda a: bce(a, 0, 0.25), LN2),
    (lambda a: bce(a, 1.5, 1, pos_weight=1.0), 0.2014132779827524),  # the example in torch's documentation
    # functions of one element
    (lambda a: f.log_sigmoid(a([-INF, INF, 40])), [-INF, 0, -4.248354255291589e-18]),
    (lambda a: f.softplus(a([-INF, INF, NAN])), [0, INF, NAN]),
    (lambda a: f.entr(a([0.0, -1.0, 1.0])), [0, -INF, 0]),
    (lambda a: f.rel_entr(a([0.0, 0.5, 0.0, -1.0, 0.3]), a([0.5, 0.0, 0.0, 1.0, 0.3])), [0, INF, 0, INF, 0]),
    (lambda a: f.kl_div(a([-INF]), a([0.0])), 0),
    (lambda a: f.kl_div(a([-INF]), a([0.5])), INF),
    (lambda a: f.gaussian_nll_loss(a([1.0]), a([1.0]), 0.0), 0.5 * np.log(1e-6)),
    (lambda a: f.gaussian_nll_loss(a([1.0]), a([2.0]), INF), INF),
    (lambda a: f.gaussian_nll_loss(a([1.0]), a([1.0]), NAN), NAN),
    (lambda a: f.gaussian_nll_loss(a([0.0]), a([0.0]), np.copysign(a([NAN]), -1)), NAN),
    (lambda a: f.poisson_nll_loss(a([0.0]), a([0]), log_input=False), 0),
    (lambda a: f.poisson_nll_loss(a([INF]), a([2])), NAN),
    (lambda a: f.mse_loss(a([]), a([])), NAN),
    (lambda a: f.mse_loss(a([]), a([]), reduction="sum"), 0),
    (lambda a: f.binary_cross_entropy(a([0.0]), a([1]), clamp="torch"), 100.0),
    (lambda a: f.binary_cross_entropy(a([0.0]), a([1]), clamp=None), INF),
    (lambda a: f.binary_cross_entropy(a([-0.0, 0.5]), a([0, 1]), reduction="none"), [0, LN2]),
    # rows
    (lambda a: f.categorical_nll(a([[0.0, 1.0]]), [0]), INF),
    (lambda a: f.cross_entropy(a([[0.0, 0.0]]), [-100]), NAN),
    (lambda a: f.cross_entropy(a([[0.0, 0.0]]), [-100], reduction="sum"), 0),
    (lambda a: f.cross_entropy(a([[0.0, 0.0]])[:0], np.zeros(0, int)), NAN),
    (lambda a: f.cross_entropy(a([[0.0, 0.0]])[:0], np.zeros(0, int), reduction="sum"), 0),
    (lambda a: f.cross_entropy(a([[0.0, 0.0]]), [0], weight=[0, 1]), NAN),
    (lambda a: f.perplexity(a([[0.0, 1e6]]), [0]), INF),
    (lambda a: f.cross_entropy(a([[0.0, -INF]]), a([[1.0, 0.0]])), 0),
    (lambda a: f.cross_entropy(a([[0.0, -INF]]), a([[0.5, 0.5]])), INF),
    (lambda a: f.cross_entropy(a([[0.0, 1.0, -INF]]), [0], label_smoothing=0.1), INF),
    (lambda a: f.cross_entropy(a([[-1e30, 1, 2]]), [1], weight=[0, 1, 1], label_smoothing=0.5), 0.9277180729318524),
    (lambda a: f.cross_entropy_grad(a([[0.0, 0.0, -INF]]), [0], reduction="sum"), [[-0.5, 0.5, 0]]),
    (lambda a: f.entropy(a([[0.0, 0.0, -INF]])), [LN2]),
    (lambda a: f.entropy(a([[-INF, -INF], [INF, 0.0], [NAN, 0.0]])), [NAN] * 3),
    (lambda a: f.entropy(a([[3.0]])), [0]),
    (lambda a: kl(a, [0.0, -INF], [0.0, -INF]), 0),
    (lambda a: kl(a, [0.0, 0.0], [0.0, -INF]), INF),
    (lambda a: kl(a, [0.0, -INF], [0.0, 0.0]), LN2),
    # wrong once
    (lambda a: f.gaussian_nll_loss(a([0]), a([1]), log_var=a([-89])), 2.2448064095871726e38),
    (lambda a: f.gaussian_nll_loss(a([0, 0]), a([1, INF]), 1.0), INF),
    (lambda a: f.kl_div(a([-3e38]), a([-150]), log_target=True), 2.152528791949323e-27),
    (lambda a: f.kl_div(a([-INF]), a([-700]), log_target=True), INF),
    (lambda a: f.kl_div(a([NAN]), a([-700]), log_target=True), NAN),
    (lambda a: f.bradley_terry_loss(a([1]), a([3e7]), margin=a([-3e7])), 0.31326168751822286),
    (lambda a: f.bradley_terry_loss(a([-200]), a([2.0**36]), margin=a([-(2.0**36)])), 200.0),
    (lambda a: f.bradley_terry_loss(a([-1e5]), a([1e30]), margin=a([-1e30])), 1e5),
    (lambda a: f.dpo_loss(a([0]), a([-300]), a([-(2.0**60)]), a([-(2.0**60)])), 9.357622968839721e-14),
    (lambda a: f.dpo_loss(a([-300]), a([0]), a([-(2.0**60)]), a([-(2.0**60)])), 30.000000000000095),
    (lambda a: f.rel_entr(a([0.0]), a([NAN])), [NAN]),
    (lambda a: f.rel_entr(a([NAN]), a([-1.0])), [NAN]),
    (lambda a: kl(a, [1e38, 1e38], [-1e38, -1e38]), 0.0),
    (lambda a: kl(a, [-INF, 0.0], [3e38, -INF]), INF),
]


@pytest.mark.parametrize("dtype", [F4, F8])
@pytest.mark.parametrize(("call", "want"), VALUES)
def test_value(call, want, dtype):
    got = call(lambda values: np.array(values, dtype))
    np.testing.assert_allclose(got, want, rtol=3e-7 if dtype == F4 else 1e-15)


# Of one type alone: what a test divides by, or where the other overflows.
OF_ONE_TYPE = [
    (lambda: f.log_sigmoid(F4([90])), F4(-8.194013e-40), 0),
    (lambda: f.gaussian_nll_loss(F4([0]), F4([1e35]), F4([1e-6])), INF, 0),
    (lambda: f.kl_div(F4([0]), F4([-104.5]), log_target=True), -4.3e-44, 0.02),
    (lambda: f.gaussian_nll_loss([0.0], [1e200], 1e300), 5e99, 1e-15),
    (lambda: f.binary_cross_entropy([0.0], [1], clamp="eps"), 36.04365338911715, 1e-15),
    (lambda: f.bradley_terry_loss(F4([33.3]), F4([-66.6])), 4.114149e-44, 0.02),
    (lambda: kl(F8, [1e5, 1e5 + 1e-5], [0.0, 3e-5]), 4.999998306946364e-11, 5e-16),
    (lambda: kl(F8, [1e5, 1e5 + 1e-6, 1e5 - 1e-6], [0.0, 3e-7, 1.7e-6]), 1.0744365130380636e-12, 5e-16),
    (lambda: kl(F8, [0.0, 1.0], [0.0, 1.0 + 1e-10]), 9.83059828869716e-22, 5e-16),
    (lambda: kl(F8, [1e308, 1e308], [-1e308, -1e308]), 0.0, 0),
]


@pytest.mark.parametrize(("call", "want", "rtol"), OF_ONE_TYPE)
def test_value_of_one_type(call, want, rtol):
    np.testing.assert_allclose(call(), want, rtol=rtol)


SAME = [(F4, 1e11), (F4, 1e15), (F4, 1e30), (F8, 4.6e15), (F8, 1e17), (F8, 1e18), (F8, 1e300)]


@pytest.mark.parametrize(("dtype", "logit"), SAME)
def test_two_equal_logits_are_a_coin_however_large(dtype, logit):
    x, coin = np.full((1, 2), logit, dtype), np.array([[0, 1]], dtype)
    rtol = 2e-7 if dtype == F4 else 4e-16
    np.testing.assert_allclose(f.entropy(x), [LN2], rtol=rtol)
    np.testing.assert_allclose(f.cross_entropy(x, np.full((1, 2), 0.5, dtype)), LN2, rtol=max(rtol, 2e-15))
    np.testing.assert_array_equal(f.cross_entropy_grad(x, [0]), [[-0.5, 0.5]])
    np.testing.assert_allclose(f.kl_divergence(x, coin), 0.12011450695827752, rtol=rtol)
    np.testing.assert_allclose(f.kl_divergence(coin, x), 0.11094407021305966, rtol=2e-7)


def test_losses_of_nothing_are_zero_without_a_sign():
    assert str(f.categorical_nll([[0.0, 1.0]], [1])) == str(f.nll_loss([[0.0, -1.0]], [0])) == "0.0"
    assert f.entropy(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 5, 128, 129, 5000])
@pytest.mark.parametrize(("largest", "gap"), [(0, 30), (0, 40), (1e-3, 20), (-1e-3, 9), (0.25, 16), (3e-9, 25)])
def test_logsumexp_near_0_has_its_digits_where_one_logit_dominates(largest, gap, classes, dtype):
    x = np.full((3, classes), -np.inf, dtype)
    x[:, 1], x[:, 0] = largest, largest - gap
    a, b = x[0, :2].astype(np.longdouble)
    want = (b + np.log1p(np.exp(a - b))).astype(dtype)
    np.testing.assert_array_max_ulp(f.logsumexp(x), np.full(3, want), 1)


@pytest.mark.parametrize(("call", "want"), [
    (lambda: f.gaussian_nll_loss([0.0], [INF], log_var=[0.0]), INF),
    (lambda: f.kl_div([-INF], [0.0], log_target=True), INF),
    (lambda: f.laplace_nll_loss(np.float32([0]), np.float32([3e38]), log_scale=np.float32([21.875])), 9.4826443e28),
    (lambda: f.kl_div(np.float32([3.4e38]), np.float32([-24]), log_target=True), -1.2835457e28),
    (lambda: f.kl_div(np.float32([-2.8e29]), np.float32([-212]), log_target=True), 0),
    (lambda: f.gaussian_nll_loss([1e300], [-1e300], log_var=[1300.0]), 5.226410545063670e35),
    (lambda: f.poisson_nll_loss(np.float32([3e38]), np.float32([100])), INF),
    (lambda: f.poisson_nll_loss([1e308], [5.0]), INF),
    (lambda: f.poisson_nll_loss([1e308], [5.0], log_offset=[1.0]), INF),
    (lambda: f.binary_cross_entropy_with_logits([609.0909090909092], [1 - 2.0**-53]), 6.7622675139e-14),
])  # fmt: skip
def test_products_of_a_power_and_a_number_are_right_as_far_as_their_type_reaches(call, want):
    assert call() == pytest.approx(want, rel=1e-7)


def test_logits_may_be_nearly_as_large_as_numbers_get():
    """Half of a distance of 2e308 is a number, although the distance is not."""
    x, even = np.array([[1e308, -1e308, 0.0]]), np.array([[0.5, 0.5, 0.0]])
    assert f.cross_entropy(x, even) == 1e308
    assert f.cross_entropy(x, [0], label_smoothing=0.75) == pytest.approx(0.75e308, rel=1e-15)
    assert f.cross_entropy(np.float64([[1.5e308, 0.0]]), [1]) == 1.5e308
    assert f.cross_entropy(np.float32([[3e38, -3e38, 0]]), np.float32(even)) == np.float32(3e38)
    loss, by_q = f.kl_divergence([[0.0, 0.0]], x[:, :2], grad=True, wrt="q_logits")
    assert loss == pytest.approx(1e308, rel=1e-15) and by_q.tolist() == [[0.5, -0.5]]
    loss, by_p = f.kl_divergence([[0.0, 0.0]], x[:, :2], grad=True, wrt="p_logits")
    assert by_p[0] == pytest.approx([-0.5e308, 0.5e308], rel=1e-15)


def test_the_divergence_of_far_rows_has_the_slopes_of_its_shares():
    p_logits, q_logits = np.array([[0.0, 1.0]]), np.array([[0.0, -300.0]])
    _, slopes = f.kl_divergence(p_logits, q_logits, grad=True, wrt="q_logits")
    np.testing.assert_allclose(slopes, [[0.7310585786300049, -0.7310585786300049]], rtol=3e-16)
