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


@pytest.mark.parametrize("classes", [3, 300])
@pytest.mark.parametrize(("y", "weight", "times"), [(1e-30, 1e-20, 1e35), (1e-30, 2e-12, 1e5), (1e25, 1e20, 1e-30)])
def test_a_gradient_by_logits_does_not_round_weighted_targets_before_it_uses_them(classes, y, weight, times):
    """In float32 the product of a weight and a target was 0, lacked digits or was infinite, where its share was not."""
    r = np.random.default_rng(classes)
    x, target = np.float32(r.standard_normal((4, classes))), np.float32(y * r.random((4, classes)))
    options = {"weight": weight * r.uniform(1, 2, classes), "sample_weight": np.full(4, times), "reduction": "sum"}
    got = nll_fast.cross_entropy(x, target, grad=True, **options)[1]
    want = nll_fast.cross_entropy(x.astype(float), target.astype(float), grad=True, **options)[1]
    size = y * weight * times
    np.testing.assert_allclose(got / size, want / size, rtol=2e-6, atol=2e-7)


def softmaxes(x):
    """p and −log p of rows, in 80-bit floating point."""
    gap = x.astype(np.longdouble).max(-1, keepdims=True) - x.astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        log_sum = np.log1p(np.sort(np.exp(-gap), -1)[..., :-1].sum(-1, keepdims=True))
    return np.exp(-gap - log_sum), gap + log_sum


def slopes_of_rows(x, y, soft):
    """By the name of each quantity of rows, its gradient by the logits and a bound of the numbers that are subtracted
    in it: a result can be as wrong as their rounding, however small it is itself.
    """
    p, nll = softmaxes(x)
    q, other = softmaxes(y)
    entropy, total = (p * nll).sum(-1, keepdims=True), np.sum(soft, -1, dtype=np.longdouble, keepdims=True)
    gap = nll - other
    divergence = -(p * gap).sum(-1, keepdims=True)
    # log p − log q has the digits of the largest in its row, as far as that is below 1, and of the divergence.
    farthest = np.maximum(np.abs(gap), np.minimum(np.abs(gap).max(-1, keepdims=True), 1))
    farthest = np.maximum(farthest, divergence)
    near = np.where(np.abs(gap) < 1, p * np.expm1(np.clip(gap, -1, 1)), q - p)
    # p − 1 of the likely class is minus the share of the others.
    certain = np.where(p > 0.5, -np.sort(p, -1)[..., :-1].sum(-1, keepdims=True), p - 1)
    one_hot = np.where(np.arange(x.shape[-1]) == 1, certain, p)
    return {
        "entropy": (p * (nll - entropy), p * np.maximum(nll, entropy)),
        "soft targets": (total * p - soft, np.maximum(p, soft)),
        "one-hot": (one_hot, np.abs(one_hot)),
        "by p": (-p * (gap + divergence), p * np.maximum(farthest, divergence)),
        "by q": (near, np.where(np.abs(gap) < 1, p * farthest, np.maximum(p, q))),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 7, 128, 129, 3000])
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_gradients_of_quantities_of_rows(spread, classes, dtype):
    r = np.random.default_rng(classes)
    x = (r.standard_normal((40, classes)) * spread).astype(dtype)
    y = (x + r.standard_normal((40, classes)) * r.choice([1e-3, 1, 10], (40, 1))).astype(dtype)
    q = softmaxes(y)[0].astype(dtype)
    want = slopes_of_rows(x, y, q)
    one_hot = np.zeros((40, classes), dtype)
    one_hot[:, 1] = 1
    by_p, by_q = nll_fast.kl_divergence(x, y, reduction="sum", grad=True, wrt=("p_logits", "q_logits"))[1]
    got = {
        "entropy": nll_fast.entropy(x, reduction="sum", grad=True)[1],
        "soft targets": nll_fast.cross_entropy(x, q, reduction="sum", grad=True)[1],
        "one-hot": nll_fast.cross_entropy(x, one_hot, reduction="sum", grad=True)[1],
        "by p": by_p,
        "by q": by_q,
    }
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    p, nll = softmaxes(x)
    own = p * (1 + nll.max(-1, keepdims=True)) * np.finfo(np.longdouble).eps * 16  # the error of what is compared with
    for name, (exact, size) in want.items():
        assert got[name].dtype == dtype
        error = np.maximum(np.abs(got[name] - exact) - own, 0) / (eps * size.astype(np.float64) + tiny)
        # In float64 the logarithm of a ratio is as exact as both normalisations are.
        assert error.max() <= (5 if dtype == np.float32 else 9), name


def test_gradients_of_quantities_go_by_mask_shift_axis_and_reduction():
    r = np.random.default_rng(9)
    x, y, mask = r.standard_normal((3, 6, 5)), r.standard_normal((3, 6, 5)), r.random((3, 6)) < 0.6
    x[~mask] = np.nan
    for call in (nll_fast.entropy, lambda x, **more: nll_fast.kl_divergence(x, y[: len(x)], **more)):
        value, gradient = call(x, mask=mask, reduction="mean", grad=True)
        assert value == call(x, mask=mask, reduction="mean")
        total = call(x, mask=mask, reduction="sum", grad=True)[1]
        np.testing.assert_allclose(gradient, total / mask.sum(), rtol=1e-14)
        assert not gradient[~mask].any() and np.isfinite(gradient).all()
        each, slopes = call(x, mask=mask, reduction="none", grad=True)
        assert np.array_equal(each, call(x, mask=mask, reduction="none")) and np.array_equal(slopes, total)
    x = r.standard_normal((3, 6, 5))
    turned = np.moveaxis(x, -1, 1)
    want = nll_fast.entropy(x, reduction="mean", grad=True)[1]
    assert np.array_equal(np.moveaxis(nll_fast.entropy(turned, axis=1, reduction="mean", grad=True)[1], 1, -1), want)
    shifted = nll_fast.entropy(x, shift=2, reduction="sum", grad=True)[1]
    assert not shifted[:, 4:].any()
    assert np.array_equal(shifted[:, :4], nll_fast.entropy(x[:, :4], reduction="sum", grad=True)[1])
    weights = r.random((3, 6))
    soft = nll_fast.cross_entropy(x, np.exp(x), sample_weight=weights, reduction="sum", grad=True)[1]
    plain = nll_fast.cross_entropy(x, np.exp(x), reduction="sum", grad=True)[1]
    np.testing.assert_allclose(soft, plain * weights[..., None], rtol=1e-13, atol=1e-15)
    for name in ("target", "q"):
        with pytest.raises(ValueError, match=f"wrt holds '{name}'; name some of 'p_logits' and 'q_logits'"):
            nll_fast.kl_divergence(x, x, grad=True, wrt=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 33, 127, 128, 129])
def test_gradients_of_quantities_have_the_same_bits_in_any_company(classes, dtype):
    """Of one row, of rows that are side by side in memory, of a part of an image and beside rows that do not count."""
    r = np.random.default_rng(classes)
    x, y = ((r.standard_normal((2, 45, classes)) * 4).astype(dtype) for _ in range(2))
    p = np.exp(x - x.max(-1, keepdims=True)).astype(dtype)
    mask = r.random((2, 45)) < 0.7

    def gradients(x, y, p, **options):
        options |= {"reduction": "sum", "grad": True}
        return [
            nll_fast.entropy(x, **options)[1],
            *nll_fast.kl_divergence(x, y, wrt=("p_logits", "q_logits"), **options)[1],
            nll_fast.cross_entropy(x, p, **options)[1],
        ]

    want = gradients(x, y, p)
    row = gradients(*(a[1:, 7:8] for a in (x, y, p)))
    beside = gradients(*(np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in (x, y, p)), axis=1)
    fortran = gradients(np.asfortranarray(x), y, np.asfortranarray(p))
    part = gradients(*(a[:, 3:40] for a in (x, y, p)))
    masked = gradients(np.where(mask[..., None], x, np.nan), y, p, mask=mask)
    for i, gradient in enumerate(want):
        assert np.array_equal(row[i], gradient[1:, 7:8])
        assert np.array_equal(np.moveaxis(beside[i], 1, -1), gradient)
        assert np.array_equal(fortran[i], gradient)
        assert np.array_equal(part[i], gradient[:, 3:40])
        assert np.array_equal(masked[i], np.where(mask[..., None], gradient, 0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 10, 128, 129, 3000])
@pytest.mark.parametrize("spread", [1.0, 40.0])
def test_the_value_beside_a_gradient_is_the_same_in_every_bit(spread, classes, dtype):
    r = np.random.default_rng(classes)
    x, y = ((r.standard_normal((37, classes)) * spread).astype(dtype) for _ in range(2))
    p, weight, mask = softmaxes(y)[0].astype(dtype), r.random(classes), r.random(37) < 0.8
    x[3], x[4, 0], mask[3], sample_weight = np.nan, -np.inf, False, r.integers(0, 3, 37) / 2
    for call in (
        lambda **options: nll_fast.entropy(x, **options),
        lambda **options: nll_fast.kl_divergence(x, y, wrt="q_logits" if "grad" in options else None, **options),
        lambda **options: nll_fast.cross_entropy(x, p, sample_weight=sample_weight, **options),
        lambda **options: nll_fast.cross_entropy(x, p, weight=weight, label_smoothing=0.1, **options),
    ):
        for reduction in ("none", "sum", "mean", "partial"):
            for more in ({}, {"mask": mask}):
                alone = call(reduction=reduction, **more)
                beside, gradient = call(reduction=reduction, grad=True, **more)
                assert gradient.shape == x.shape
                if reduction == "partial":
                    assert repr(beside.to_dict()) == repr(alone.to_dict())  # NaN differs from itself
                else:
                    assert np.array_equal(beside, alone, equal_nan=True)
                    assert np.asarray(beside).dtype == np.asarray(alone).dtype


def test_the_gradient_of_a_row_that_is_nan_is_nan():
    bad = np.array([[-np.inf, -np.inf], [np.inf, 0.0], [np.nan, 0.0]])
    for classes in (2, 130):
        x = np.pad(bad, [(0, 0), (0, classes - 2)], constant_values=-np.inf)
        for call in (nll_fast.entropy, lambda x, **more: nll_fast.kl_divergence(x, x, **more)):
            value, gradient = call(x, reduction="none", grad=True)
            assert np.isnan(value).all() and np.isnan(gradient).all()
    x = np.array([[0.0, -np.inf], [1.0, 2.0]])
    assert np.array_equal(nll_fast.entropy(x, grad=True)[1][0], [0, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [3, 50, 200])
def test_the_slope_of_a_nearly_certain_class_keeps_its_digits(classes, dtype):
    """It is a difference of two numbers that are nearly equal, and minus the sum of the others."""
    r = np.random.default_rng(classes)
    x, y = (r.standard_normal((8, classes)).astype(dtype) for _ in range(2))
    for lead in (20, 40) if dtype == np.float32 else (40, 80, 600):
        x[:, 1] = lead
        for gradient in (
            nll_fast.entropy(x, reduction="sum", grad=True)[1],
            nll_fast.kl_divergence(x, y, reduction="sum", grad=True)[1],
        ):
            others = np.delete(gradient, 1, -1).astype(np.longdouble).sum(-1)
            size = np.abs(np.delete(gradient, 1, -1)).sum(-1)
            assert np.all(np.abs(gradient[:, 1] + others) <= 2 * np.finfo(dtype).eps * size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [17, 128, 129, 3000, 2**18 + 1])
@pytest.mark.parametrize("weight", [None, 0.1])
def test_the_slope_of_a_nearly_certain_target_keeps_its_digits(weight, classes, dtype):
    """It is Σa·p − a, of numbers that are nearly equal: a sum that is rounded to float32 has none of its digits."""
    x, y = np.full((1, classes), -300, dtype), np.zeros((1, classes), dtype)
    rest = 2e-8 if dtype == np.float32 else 2e-16
    x[0, 0], y[0, 0], x[0, 16], y[0, 16] = 0, 1, np.log(1.5 * rest), rest
    weights = None if weight is None else np.full(classes, weight)
    _, gradient = nll_fast.cross_entropy(x, y, grad=True, reduction="sum", weight=weights)
    e, t = np.exp(x[0, 16].astype(np.longdouble)), y[0, 16].astype(np.longdouble)
    want = (e - t) / (1 + e) * (weight or 1)
    # e is twice or three times the difference, and rounded by itself.
    assert np.abs(gradient[0, [0, 16]] - [-want, want]).max() <= 8 * np.finfo(dtype).eps * want
    assert np.abs(np.delete(gradient, [0, 16])).max() <= 1e-99


def test_weights_of_any_size_have_a_gradient():
    x, y = np.zeros((2, 2)), np.full((2, 2), 0.5)
    for reduction in ("none", "sum", "mean"):
        gradient = nll_fast.cross_entropy(x, y, sample_weight=[1e308, 1e308], grad=True, reduction=reduction)[1]
        assert not gradient.any()


def test_equal_rows_have_no_slope():
    x = np.random.default_rng(10).standard_normal((4, 300)).astype(np.float32)
    value, (by_p, by_q) = nll_fast.kl_divergence(x, x, grad=True, wrt=("p_logits", "q_logits"))
    assert value == 0 and not by_q.any() and np.abs(by_p).max() < 1e-12


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
