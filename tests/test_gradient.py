"""Derivatives: cross_entropy_grad, and grad= and hess= of the elementwise losses."""

import nll_fast
import numpy as np
import pytest
from nll_fast import reference

from .cases import CASES, DTYPES, Reach
from .slopes import softmaxes

DIFFERENTIABLE = [
    name for name, case in CASES.items() if case.function in (
        "binary_cross_entropy_with_logits", "gaussian_nll_loss", "laplace_nll_loss", "mse_loss", "poisson_nll_loss",
        "bradley_terry_loss",
    )
]  # fmt: skip
LAPLACE = [name for name in DIFFERENTIABLE if CASES[name].function == "laplace_nll_loss"]
"""These have a kink where the observation is the mean, at which differences of losses say nothing."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 3, 40, 2100])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_grad(classes, smoothing, reduction, dtype):
    r = np.random.default_rng(classes)
    x, target = (r.standard_normal((7, classes)) * 5).astype(DTYPES[dtype]), r.integers(0, classes, 7)
    target[2] = -100
    for weight in (None, np.linspace(0.5, 2, classes)):
        options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
        got = nll_fast.cross_entropy_grad(x, target, **options)
        want = reference.cross_entropy_grad(x, target, **options)
        tolerance = 1e-14 if dtype == "float64" else 2e-7
        np.testing.assert_allclose(got, want, rtol=tolerance * 10, atol=tolerance)
        assert np.all(got[2] == 0)


def test_the_gradient_of_a_certain_target_keeps_its_digits():
    got = nll_fast.cross_entropy_grad([[40.0, 0.0]], [0])
    np.testing.assert_allclose(got, [[-4.248354255291589e-18, 4.248354255291589e-18]], rtol=1e-14)
    turned = nll_fast.cross_entropy_grad(np.float32([[40.0], [0.0]]), [0], axis=0)
    assert turned.shape == (2, 1) and turned[0, 0] == -turned[1, 0] < 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAPLACE)
def test_the_slope_of_laplace_is_a_sign_over_the_scale(name, dtype):
    case = CASES[name]
    arguments = case.draw(dtype, 5000, reach=Reach(8, 2))
    mean, target, scale = (np.asarray(x, np.float64) for x in arguments.values())
    b = np.exp(scale) if "log_scale" in arguments else scale
    _, gradient, hessian = case.call(arguments, hess="exact")
    np.testing.assert_allclose(gradient, np.sign(mean - target) / b, rtol=1e-14 if dtype == "float64" else 3e-7)
    assert not hessian.any()


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name not in LAPLACE])
def test_derivatives_are_the_slopes_of_the_oracle(name):
    case = CASES[name]
    arguments = case.draw("float64", 5000, reach=Reach(8, 2))
    first, x = next(iter(arguments.items()))
    value, gradient, hessian = case.call(arguments, hess="exact")
    step = 1e-4 * (x if "log_input" in name else np.maximum(1, np.abs(x)))
    low, here, high = (case.call({**arguments, first: x + s}, reference) for s in (-step, 0, step))
    slope, bend = (high - low) / (2 * step), (high - 2 * here + low) / step**2
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-5 * np.abs(slope).max())
    np.testing.assert_allclose(hessian, bend, rtol=1e-3, atol=1e-5 * np.abs(bend).max())
    assert np.array_equal(value, case.call(arguments))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_are_of_the_reduced_loss_and_bounded_from_above(name, dtype):
    case = CASES[name]
    arguments = case.draw(dtype, 5000, reach=Reach(8, 2))
    _, gradient, hessian = case.call(arguments, hess="exact")
    mean, of_mean = case.call(arguments, reduction="mean", grad=True)
    assert mean == case.call(arguments, reduction="mean")
    part = case.call(arguments, reduction="partial")
    weights = part.count if part.weights is None else part.weights / 2**1074
    np.testing.assert_allclose(of_mean, gradient / weights, rtol=1e-14 if dtype == "float64" else 2.4e-7, atol=1e-45)
    assert np.array_equal(case.call(arguments, reduction="sum", grad=True)[1], gradient)
    if case.function != "poisson_nll_loss":
        upper = case.call(arguments, hess="upper")[2]
        assert np.all(upper >= hessian * (1 - np.finfo(hessian.dtype).eps * 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [{"log_scale": -800.0}, {"scale": 1e-310, "eps": 0}])
def test_the_slope_of_laplace_at_its_kink_is_0_whatever_the_scale(scale, dtype):
    x = np.ones(1, dtype)
    loss, gradients, hessian = nll_fast.laplace_nll_loss(x, x, **scale, wrt=("mean", "target"), hess="exact")
    assert np.isfinite(loss) or dtype == np.float32
    assert gradients == (0, 0) and hessian == 0


def test_a_subnormal_exponential_keeps_its_digits_in_derivatives_by_weights():
    x, y, w = np.float32([100]), np.float32([1]), np.float32([1e5])
    _, gradient, hessian = nll_fast.binary_cross_entropy_with_logits(x, y, pos_weight=w, reduction="sum", hess="exact")
    np.testing.assert_allclose([-gradient[0], hessian[0]], 1e5 * np.exp(-100.0), rtol=2e-7)


def test_scores_far_apart_keep_the_digits_of_their_difference():
    chosen, rejected, margin = np.float32([38.158302]), np.float32([24.185863]), np.float32([-23.473059])
    gap = float(rejected[0]) - float(chosen[0]) + float(margin[0])
    _, gradient, hessian = nll_fast.bradley_terry_loss(chosen, rejected, margin=margin, reduction="sum", hess="exact")
    np.testing.assert_allclose([-gradient[0], hessian[0]], np.exp(gap), rtol=2.5e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "partial"])
@pytest.mark.parametrize("rows", [0, 1, 40, 3000])
def test_the_loss_beside_a_gradient_is_the_loss(rows, reduction):
    r = np.random.default_rng(rows)
    for classes in (3, 200):
        x, target = r.standard_normal((rows, classes)), r.integers(0, classes, rows)
        target[::5] = -100
        options = {"reduction": reduction, "sample_weight": r.random(rows), "label_smoothing": 0.1}
        want = nll_fast.cross_entropy(x, target, **options)
        loss, gradient, hessian = nll_fast.cross_entropy(x, target, **options, hess="exact")
        np.testing.assert_array_equal(loss, want)
        again = {**options, "reduction": "mean" if reduction == "mean" else "sum"}
        assert np.array_equal(gradient, nll_fast.cross_entropy_grad(x, target, **again), equal_nan=True)
        for found, alone in zip(
            (gradient, hessian), nll_fast.cross_entropy_grad(x, target, **again, hess="exact"), strict=True
        ):
            assert np.array_equal(found, alone, equal_nan=True)
        assert np.all(hessian >= 0) or not rows


def test_the_hessian_of_a_row_is_the_bend_of_its_loss():
    r = np.random.default_rng(1)
    for classes in (3, 130):
        x, target = r.standard_normal((5, classes)), r.integers(0, classes, 5)
        hessian, upper = (
            nll_fast.cross_entropy_grad(x, target, reduction="sum", hess=h)[1] for h in ("exact", "upper")
        )
        for j in range(0, classes, 29):
            step = np.zeros(classes)
            step[j] = 1e-4
            up, here, down = (nll_fast.cross_entropy(x + s, target, reduction="none") for s in (step, 0, -step))
            np.testing.assert_allclose(hessian[:, j], (up - 2 * here + down) / 1e-8, rtol=1e-4, atol=1e-6)
        assert np.all(upper == 0.25)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 7, 130])
def test_the_hessian_is_that_of_the_formula(classes, dtype):
    r = np.random.default_rng(classes)
    x, target = r.standard_normal((45, classes)).astype(dtype), r.integers(0, classes, 45)
    weight, sample_weight, p = r.random(classes), r.random(45), softmaxes(x)[0]
    target[::7], sample_weight[1::7] = -100, 0.0
    options = {"weight": weight, "sample_weight": sample_weight, "label_smoothing": 0.3}
    kept = np.where(target >= 0, sample_weight, 0.0)
    factor = kept * (0.7 * weight[target.clip(0)] + 0.3 * weight.mean())
    for reduction, divisor in (("sum", 1.0), ("mean", (kept * weight[target.clip(0)]).sum())):
        want = (factor / divisor)[:, None] * np.stack([p * (1 - p), np.full_like(p, 0.25)])
        for hess, expected in zip(("exact", "upper"), want, strict=True):
            given = {**options, "reduction": reduction, "hess": hess}
            out = np.empty_like(x)
            gradient, hessian = nll_fast.cross_entropy_grad(x, target, **given, out=out)
            np.testing.assert_allclose(hessian, expected.astype(float), rtol=4 * np.finfo(dtype).eps, atol=1e-30)
            assert gradient is out and hessian.dtype == x.dtype
            for turned, axis in ((np.asfortranarray(x), 1), (x.T, 0)):
                slopes, curves = nll_fast.cross_entropy_grad(turned, target, **given, axis=axis)
                assert np.array_equal(slopes if axis else slopes.T, gradient)
                assert np.array_equal(curves if axis else curves.T, hessian)


def test_shift_gives_the_last_positions_no_gradient():
    r = np.random.default_rng(2)
    x, tokens, mask = r.standard_normal((2, 6, 9)), r.integers(0, 9, (2, 6)), r.random((2, 6)) < 0.7
    for options in ({}, {"mask": mask}):
        kept = {"mask": mask[:, 1:]} if options else {}
        want = nll_fast.cross_entropy(x[:, :-1], tokens[:, 1:], **kept, grad=True)
        loss, gradient = nll_fast.cross_entropy(x, tokens, shift=1, **options, grad=True)
        assert loss == want[0] and np.array_equal(gradient[:, :-1], want[1]) and not gradient[:, -1].any()
        assert np.array_equal(nll_fast.cross_entropy_grad(x, tokens, shift=1, **options), gradient)
        hessian = nll_fast.cross_entropy_grad(x, tokens, shift=1, **options, hess="exact")[1]
        assert hessian.shape == x.shape and not hessian[:, -1].any() and hessian[:, :-1].any()
        part = nll_fast.cross_entropy(x, tokens, shift=1, **options, grad=True, reduction="partial")[0]
        assert part == nll_fast.cross_entropy(x, tokens, shift=1, **options, reduction="partial")


DPO = [name for name, case in CASES.items() if case.function == "dpo_loss"]


@pytest.mark.parametrize("name", DPO)
def test_gradients_of_preference_losses_are_the_slopes_of_the_oracle(name):
    case = CASES[name]
    r = np.random.default_rng(3)
    arguments = {f"{a}_{b}_logps": r.uniform(-30, 0, 500) for a in ("policy", "ref") for b in ("chosen", "rejected")}
    gradients = case.call(arguments, grad=True, wrt=tuple(arguments))[1]
    for (argument, x), gradient in zip(arguments.items(), gradients, strict=True):
        high, low = (case.call({**arguments, argument: x + s}, reference) for s in (1e-5, -1e-5))
        # The hinge has a kink, beside which differences say nothing.
        slope = (high - low) / 2e-5
        close = np.isclose(gradient, slope, rtol=1e-5, atol=1e-6 * (1 + np.abs(high)))
        assert close.mean() > (0.99 if "hinge" in name else 0.9999)


@pytest.mark.parametrize("rows", [100, 1000, 3000, 600000])
@pytest.mark.parametrize("order", "CF")
def test_several_results_of_a_call_are_arrays_of_their_own_whatever_their_size(rows, order):
    rng = np.random.default_rng(8)
    logits = np.asarray(rng.normal(size=(rows, 4)), order=order)
    target = rng.integers(0, 4, rows)
    slopes, curves = nll_fast.cross_entropy_grad(logits, target, reduction="sum", hess="exact")
    assert (slopes == nll_fast.cross_entropy_grad(logits, target, reduction="sum")).all()
    losses, *more = nll_fast.binary_cross_entropy_with_logits(logits, logits > 0, reduction="none", hess="exact")
    for results in ([slopes, curves], [losses, *more]):
        for i, result in enumerate(results):
            others = results[:i] + results[i + 1 :]
            before = [other.copy() for other in others]
            assert result.flags.writeable and result.shape == logits.shape and result.flags[f"{order}_CONTIGUOUS"]
            assert not any(np.shares_memory(result, other) for other in others)
            result[...] = np.nan
            assert all(
                (other == copy).all() for other, copy in zip(others, before, strict=True) if not np.isnan(copy).any()
            )
