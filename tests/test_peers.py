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
