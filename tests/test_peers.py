"""torch as a second oracle, and its tensors as inputs. Skips, saying so, where torch is not installed."""

import nll_fast
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")


def example(classes=50, rows=40):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((rows, classes)) * 4
    target = rng.integers(0, classes, rows)
    target[::7] = -100
    return torch.tensor(x), torch.tensor(target)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(reduction, smoothing, weighted):
    x, target = example()
    weight = torch.linspace(0.5, 2, 50, dtype=x.dtype) if weighted else None
    want = torch.nn.functional.cross_entropy(
        x, target, weight=weight, label_smoothing=smoothing, reduction=reduction
    )
    got = nll_fast.cross_entropy(
        x, target, weight=weight, label_smoothing=smoothing, reduction=reduction
    )
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-12)


def test_class_axis_one():
    x, target = example(classes=6, rows=60)
    x, target = x.reshape(3, 4, 5, 6).permute(0, 3, 1, 2), target.reshape(3, 4, 5) % 6
    want = torch.nn.functional.cross_entropy(x, target, reduction="none")
    got = nll_fast.cross_entropy(x, target, axis=1, reduction="none")
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_read_where_they_lie(dtype):
    from nll_fast._arrays import as_rows

    x = example()[0].to(dtype).requires_grad_()
    rows, name = as_rows(x, "logits", -1)
    assert name == str(dtype).removeprefix("torch.")
    assert rows.ctypes.data == x.data_ptr()
    target = torch.zeros(len(x), dtype=torch.int32)
    want = nll_fast.cross_entropy(x.detach().to(torch.float64), target)
    np.testing.assert_allclose(nll_fast.cross_entropy(x, target), want, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # torch's advice on kl_div's mean
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_single_observations(reduction):
    functional = torch.nn.functional
    rng = np.random.default_rng(6)
    x, y, p = rng.standard_normal((3, 200)) * 3, rng.random((3, 200)), rng.random((3, 200))
    counts = rng.poisson(3, (3, 200)).astype(float)
    tx, ty, tp, tc = map(torch.tensor, (x, y, p, counts))
    pairs = [
        (nll_fast.binary_cross_entropy_with_logits, functional.binary_cross_entropy_with_logits, (tx, ty), {}),
        (nll_fast.binary_cross_entropy, functional.binary_cross_entropy, (tp, ty), {}),
        (nll_fast.gaussian_nll_loss, functional.gaussian_nll_loss, (tx, ty, tp), {"full": True}),
        (nll_fast.mse_loss, functional.mse_loss, (tx, ty), {}),
        (nll_fast.poisson_nll_loss, functional.poisson_nll_loss, (tx, tc), {"full": True}),
        (nll_fast.poisson_nll_loss, functional.poisson_nll_loss, (tp, tc), {"log_input": False}),
        (nll_fast.kl_div, functional.kl_div, (torch.log(tp), ty), {}),
        (nll_fast.kl_div, functional.kl_div, (torch.log(tp), torch.log(ty)), {"log_target": True}),
        (nll_fast.cross_entropy, functional.cross_entropy, (tx, ty), {"label_smoothing": 0.2}),
    ]
    for ours, theirs, arguments, keywords in pairs:
        want = theirs(*arguments, reduction=reduction, **keywords).numpy()
        np.testing.assert_allclose(ours(*arguments, reduction=reduction, **keywords), want, rtol=1e-12, atol=1e-13)


def test_gradients_are_those_of_autograd():
    rng = np.random.default_rng(7)
    x, y = torch.tensor(rng.standard_normal(100), requires_grad=True), torch.tensor(rng.random(100))
    weight = torch.tensor(2.5)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(x, y, pos_weight=weight)
    loss.backward()
    value, gradient = nll_fast.binary_cross_entropy_with_logits(x, y, pos_weight=2.5, grad=True)
    assert value == pytest.approx(loss.item(), rel=1e-13)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_grad(reduction):
    x, target = example()
    x, weight = x.requires_grad_(), torch.linspace(0.5, 2, 50, dtype=x.dtype)
    options = {"weight": weight, "label_smoothing": 0.1, "reduction": reduction}
    torch.nn.functional.cross_entropy(x, target, **options).backward()
    got = nll_fast.cross_entropy_grad(x, target, **options)
    np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-10, atol=1e-15)
