"""Entropy and divergence of whole distributions, from logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast import _core
from nll_fast._arrays import as_element, as_out
from nll_fast.partial import Partial
from nll_fast.reduction import check_reduction, reduced

_Array = Any


def quantity_of_rows(
    quantity: str,
    arrays: dict[str, Any],
    axis: int,
    reduction: str,
    out: np.ndarray | None,
    options: tuple[np.ndarray | None, float] = (None, 0.0),
) -> float | np.ndarray | Partial:
    """``quantity`` of each row of one or two arrays of one shape, then reduced over the rows."""
    check_reduction(reduction, out)
    inputs = []
    for name, x in arrays.items():
        x, dtype = as_element(x, name)
        if dtype not in ("float64", "float32", "float16", "bfloat16"):
            raise TypeError(f"{name} must be an array of floats with a class axis, not {dtype}")
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"axis is {axis}, but {name} has shape {x.shape}")
        inputs.append((np.moveaxis(x, axis, -1), dtype))
    shape = inputs[0][0].shape
    if any(x.shape != shape for x, _ in inputs):
        listed = ", ".join(f"{name} {np.shape(x)}" for name, x in arrays.items())
        raise ValueError(f"the shapes must be equal: {listed}")
    if shape[-1] == 0:
        raise ValueError(f"no classes along axis {axis} of shape {shape}")
    rows = math.prod(shape[:-1])
    double = any(dtype == "float64" for _, dtype in inputs)
    held = tuple(x for x, _ in inputs)
    dtype = "float64" if double else "float32"
    value = as_out(out, shape[:-1], dtype, held) if reduction == "none" else None
    second = inputs[1] if len(inputs) > 1 else None
    totals = _core.distributions(quantity, inputs[0], second, (rows, shape[-1]), (*options, double), value)
    return value if reduction == "none" else reduced(totals, reduction)


def entropy(
    logits: _Array, *, axis: int = -1, reduction: str = "none", out: np.ndarray | None = None
) -> float | np.ndarray | Partial:
    """−Σ p·log p of p = softmax(logits) along ``axis``, in nats: one number for each row.

    A logit of −∞ contributes 0; a row of −∞ alone, or with +∞ or NaN, gives NaN. float64 for float64
    logits, else float32. Source: ``torch.distributions.Categorical(logits=...).entropy()``.

    >>> import numpy as np
    >>> entropy(np.array([[0.0, 0.0, -np.inf]])).round(4)
    array([0.6931])
    """
    return quantity_of_rows("entropy", {"logits": logits}, axis, reduction, out)


def kl_divergence(
    p_logits: _Array,
    q_logits: _Array,
    *,
    axis: int = -1,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> float | np.ndarray | Partial:
    """Σ p·(log p − log q) of the softmax of two arrays of logits along ``axis``, in nats.

    Never negative, and 0 where the logits are equal. p = 0 contributes 0; p > 0 = q gives ∞. The mean is
    over rows. Source: Kullback & Leibler 1951; ``torch.distributions.kl_divergence``.

    >>> import numpy as np
    >>> round(kl_divergence(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])), 6)
    0.143841
    """
    return quantity_of_rows("divergence", {"p_logits": p_logits, "q_logits": q_logits}, axis, reduction, out)
