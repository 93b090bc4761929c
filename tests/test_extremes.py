"""Finite answers from enormous, cancelling or vanishing inputs. Each was wrong once; the numbers are mpmath's."""

import nll_fast as f
import numpy as np
import pytest

INF, NAN, LN2 = np.inf, np.nan, float(np.log(2))
F4, F8 = np.float32, np.float64
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


KL = [
    ([1e5, 1e5 + 1e-5], [0.0, 3e-5], 4.999998306946364e-11),
    ([1e5, 1e5 + 1e-6, 1e5 - 1e-6], [0.0, 3e-7, 1.7e-6], 1.0744365130380636e-12),
    ([0.0, 1.0], [0.0, 1.0 + 1e-10], 9.83059828869716e-22),
    ([1e308, 1e308], [-1e308, -1e308], 0.0),
    ([-INF, 0.0], [3.4e38, -INF], INF),
]


@pytest.mark.parametrize(("x", "y", "want"), KL)
def test_divergences_of_rows_far_apart_or_nearly_the_same(x, y, want):
    np.testing.assert_allclose(f.kl_divergence([x], [y]), want, rtol=5e-16)


ELEMENTS = [
    (lambda a: f.gaussian_nll_loss(a([0]), a([1]), log_var=a([-89])), 2.2448063791e38),
    (lambda a: f.gaussian_nll_loss(a([0, 0]), a([1, INF]), 1.0), INF),
    (lambda a: f.kl_div(a([-3e38]), a([-150]), log_target=True), 2.1525289e-27),
    (lambda a: f.kl_div(a([-INF]), a([-700]), log_target=True), INF),
    (lambda a: f.kl_div(a([NAN]), a([-700]), log_target=True), NAN),
    (lambda a: f.bradley_terry_loss(a([1]), a([3e7]), margin=a([-3e7])), 0.31326168751822286),
    (lambda a: f.bradley_terry_loss(a([-200]), a([2.0**36]), margin=a([-(2.0**36)])), 200.0),
    (lambda a: f.bradley_terry_loss(a([-1e5]), a([1e30]), margin=a([-1e30])), 1e5),
    (lambda a: f.dpo_loss(a([0]), a([-3000]), a([-(2.0**60)]), a([-(2.0**60)])), 5.148200222412014e-131),
    (lambda a: f.rel_entr(a([0.0]), a([NAN]))[0], NAN),
    (lambda a: f.rel_entr(a([NAN]), a([-1.0]))[0], NAN),
]


@pytest.mark.parametrize("dtype", [F4, F8])
@pytest.mark.parametrize(("call", "want"), ELEMENTS)
def test_elements(call, want, dtype):
    got = call(lambda values: np.array(values, dtype))
    np.testing.assert_allclose(got, want, rtol=3e-7)


def test_float32_overflows_to_infinity_and_not_to_nan():
    assert f.gaussian_nll_loss(F4([0]), F4([1e35]), F4([1e-6])) == INF
    assert f.kl_div(F4([0]), F4([-104.5]), log_target=True) == pytest.approx(-4.3e-44, rel=0.02)
