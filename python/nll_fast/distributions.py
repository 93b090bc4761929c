"""Entropy and divergence: of whole distributions, from logits, and of single probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast import _core
from nll_fast._arrays import as_array, as_element, as_integer, as_out
from nll_fast._elementwise import broadcast_shape, elementwise
from nll_fast.reduction import Loss, check_reduction, reduced

_Array = Any


def quantity_of_rows(
    quantity: str,
    arrays: dict[str, Any],
    axis: int,
    reduction: str,
    out: np.ndarray | None,
    options: tuple[np.ndarray | None, float] = (None, 0.0),
    empty_mean: float = math.nan,
) -> Loss:
    """``quantity`` of each row of one or two arrays of one shape, then reduced over the rows."""
    check_reduction(reduction, out, empty_mean)
    axis = as_integer(axis, "axis")
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
    return value if reduction == "none" else reduced(totals, reduction, empty_mean)


def entropy(logits: _Array, *, axis: int = -1, reduction: str = "none", out: np.ndarray | None = None) -> Loss:
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
) -> Loss:
    """Σ p·(log p − log q) of the softmax of two arrays of logits along ``axis``, in nats.

    Never negative, and 0 where the logits are equal. p = 0 contributes 0; p > 0 = q gives ∞. The mean is
    over rows. Source: Kullback & Leibler 1951; ``torch.distributions.kl_divergence``.

    >>> import numpy as np
    >>> round(kl_divergence(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])), 6)
    0.143841
    """
    return quantity_of_rows("divergence", {"p_logits": p_logits, "q_logits": q_logits}, axis, reduction, out)


def entr(p: _Array, *, out: np.ndarray | None = None) -> np.ndarray:
    """−p·log p of every element. 0 → 0, p < 0 → −∞. Source: ``scipy.special.entr``.

    >>> import numpy as np
    >>> entr(np.array([0.0, 0.5]))
    array([0.        , 0.34657359])
    """
    return elementwise("entropy", {"p": p}, out=out)


def rel_entr(p: _Array, q: _Array, *, out: np.ndarray | None = None) -> np.ndarray:
    """p·log(p/q) of every element; p = 0 gives 0, p > 0 = q gives ∞. Broadcasts.

    Exact to the last digits where p is near q. Source: ``scipy.special.rel_entr``.

    >>> import numpy as np
    >>> rel_entr(np.array([0.0, 0.5]), np.array([0.5, 0.25])).round(6)
    array([0.      , 0.346574])
    """
    return elementwise("relative_entropy", {"p": p, "q": q}, shape=broadcast_shape, out=out)


def kl_div(
    input: _Array,
    target: _Array,
    *,
    log_target: bool = False,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> Loss:
    """target·(log target − input), ``input`` being log q and ``target`` p: torch's order of arguments.

    ``reduction="batchmean"`` divides the sum by the first axis, which is the divergence; ``"mean"``
    divides by all elements, as torch does. ``log_target`` says that target is log p. p = 0 gives 0, also
    where ``input`` is −∞.  Source: ``torch.nn.functional.kl_div``.

    >>> import numpy as np
    >>> round(kl_div(np.log([[0.5, 0.5]]), [[0.5, 0.5]], reduction="batchmean"), 12)
    0.0
    """
    batch = reduction == "batchmean"
    shape = np.broadcast_shapes(*(as_array(x, "input")[0].shape for x in (input, target)))
    if batch and not shape:
        raise ValueError("reduction='batchmean' needs a first axis to divide by, and there is none")
    value = elementwise(
        "kl_div",
        {"input": input, "target": target},
        (float(log_target),),
        shape=broadcast_shape,
        reduction="sum" if batch else reduction,
        out=out,
    )
    return value / max(shape[0], 1) if batch else value
