"""Gradients of the entropy, of the divergence and of the cross entropy with distributions as targets."""

import nll_fast
import numpy as np
import pytest

from .slopes import slopes_of_rows, softmaxes


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


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 10, 128, 129, 3000])
def test_one_gradient_alone_is_that_beside_the_other(classes, dtype):
    r = np.random.default_rng(classes)
    x, y = ((r.standard_normal((37, classes)) * 3).astype(dtype) for _ in range(2))
    y[5:9], x[3], x[4, 0] = x[5:9], np.nan, -np.inf
    both = nll_fast.kl_divergence(x, y, reduction="sum", grad=True, wrt=("p_logits", "q_logits"))[1]
    for name, want in zip(("p_logits", "q_logits"), both, strict=True):
        alone = nll_fast.kl_divergence(x, y, reduction="sum", grad=True, wrt=name)[1]
        assert np.array_equal(alone, want, equal_nan=True)


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
