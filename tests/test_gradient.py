"""Derivatives: cross_entropy_grad, and grad= and hess= of the elementwise losses."""

import nll_fast
import numpy as np
import pytest
from nll_fast import reference

from .cases import CASES, DTYPES, Reach

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
