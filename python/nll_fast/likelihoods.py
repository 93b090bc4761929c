"""Losses of single observations, yes or no, real, or counted: documentation, and one call each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast._arrays import as_element, as_floats, as_number
from nll_fast._elementwise import broadcast_shape, derivatives, elementwise
from nll_fast.reduction import Loss

_Array = Any
_PROBABILITY = (
    1.0, False, "outside [0, 1]: pass validate=False to compute anyway, or use the form with logits"
)  # fmt: skip
_VARIANCE = (math.inf, True, "a variance cannot be negative")
_EPSILON = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Machine epsilon of the types below float64."""


def binary_cross_entropy_with_logits(
    logits: _Array,
    target: _Array,
    *,
    weight: _Array | None = None,
    pos_weight: _Array | float = 1.0,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> Loss:
    """pos_weight·y·softplus(−x) + (1 − y)·softplus(x): −log p of a yes/no label, in nats.

    ``logits`` and ``target`` have one shape, or one is a number (a (n, 1) against (n,) is a mistake, not broadcast);
    ``target`` is of any dtype, 0, 1 or a probability, and not checked. ``weight`` multiplies the losses and
    ``pos_weight`` the positive term; both broadcast. The mean divides by the number of elements.

    ``grad=True`` returns ``(value, gradient)`` and ``hess="exact"`` ``(value, gradient, hessian)``, by the
    logits, of what ``reduction`` makes of the loss; ``hess="upper"`` gives the second
    derivative's upper bound over all logits, (pos_weight·y + 1 − y)/4, which never vanishes.

    Returns a float, or with ``reduction="none"`` float64 for float64 inputs, else float32, or a
    :class:`nll_fast.Partial`. A certain logit (±∞) costs 0 or ∞, never NaN; NaN stays NaN.
    Source: ``torch.nn.functional.binary_cross_entropy_with_logits``.

    >>> round(binary_cross_entropy_with_logits([0.0, 2.0], [0, 1]), 6)
    0.410038
    """
    return elementwise(
        "bernoulli_logit",
        {"logits": logits, "target": target},
        spread={"pos_weight": pos_weight},
        weight=weight,
        reduction=reduction,
        out=out,
        **derivatives(grad, hess),
    )


def binary_cross_entropy(
    probs: _Array,
    target: _Array,
    *,
    weight: _Array | None = None,
    clamp: str | None = "torch",
    validate: bool = True,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> Loss:
    """−y·log p − (1 − y)·log(1 − p), from probabilities. Prefer the form with logits: p near 1 has lost them.

    ``clamp="torch"`` lets no logarithm fall below −100, ``"eps"`` clips p to [ε, 1 − ε] as scikit-learn's
    ``log_loss`` does, ``None`` gives ∞ for a certain mistake. Shapes as for the form with logits.

    Raises ValueError, with value and index, for a probability or target outside [0, 1], unless
    ``validate=False``. Source: ``torch.nn.functional.binary_cross_entropy``.

    >>> round(binary_cross_entropy([0.9, 0.2], [1, 0]), 6)
    0.164252
    """
    if clamp not in ("torch", "eps", None):
        raise ValueError(f"clamp is {clamp!r}; use 'torch', 'eps' or None")
    floor = -100.0 if clamp == "torch" else -math.inf
    dtype = as_element(probs, "probs")[1]
    margin = _EPSILON.get(dtype, 2.0**-52) if clamp == "eps" else 0.0
    return elementwise(
        "bernoulli",
        {"probs": probs, "target": target},
        (floor, margin),
        weight=weight,
        reduction=reduction,
        out=out,
        limits={"probs": _PROBABILITY, "target": _PROBABILITY} if validate else None,
    )


def log_sigmoid(x: _Array, *, out: np.ndarray | None = None) -> np.ndarray:
    """log(1/(1 + e^−x)) of every element, subnormal results kept. −∞ → −∞, +∞ → 0, NaN → NaN.

    float64 for float64 input, else float32. Source: ``torch.nn.functional.logsigmoid``, SciPy's ``log_expit``.

    >>> import numpy as np
    >>> log_sigmoid(np.array([0.0, 40.0]))
    array([-6.93147181e-01, -4.24835426e-18])
    """
    return elementwise("log_sigmoid", {"x": x}, out=out)


def softplus(x: _Array, *, out: np.ndarray | None = None) -> np.ndarray:
    """log(1 + e^x) of every element. −∞ → 0, +∞ → +∞, NaN → NaN.

    float64 for float64 input, else float32. Source: ``torch.nn.functional.softplus``.

    >>> import numpy as np
    >>> softplus(np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    return elementwise("softplus", {"x": x}, out=out)


def _constant(hess: str | None) -> str | None:
    """A second derivative that is the same for all first inputs is its own upper bound."""
    return "exact" if hess == "upper" else hess


def gaussian_nll_loss(
    mean: _Array,
    target: _Array,
    var: _Array | float | None = None,
    *,
    log_var: _Array | float | None = None,
    sigma: _Array | float | None = None,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> Loss:
    """½·(log var + (target − mean)²/var), plus ½·log 2π if ``full``, in nats.

    Give exactly one of ``var`` (variance, at least ``eps``), ``log_var`` and ``sigma`` (standard
    deviation). Everything broadcasts by NumPy's rules; torch lets a ``var`` of shape (n,) broadcast over
    the *first* axis of (n, d): write ``var[:, None]``. The gradient is by ``mean``, the Hessian 1/var.

    Negative variances raise ValueError. var = 0 counts as ``eps``; ∞ gives ∞, NaN gives NaN. The error is
    within 2 ulp of the larger of the two terms, which may cancel.
    Source: ``torch.nn.functional.gaussian_nll_loss``.

    >>> gaussian_nll_loss([0.0, 1.0], [1.0, 1.0], 1.0)
    0.25
    """
    given = [x is not None for x in (var, log_var, sigma)]
    if sum(given) != 1:
        raise TypeError(f"give exactly one of var, log_var and sigma, not {sum(given)}")
    if sigma is not None:
        sigma = as_floats(sigma, "sigma")
        if np.any(sigma < 0):
            index = tuple(int(i) for i in np.argwhere(sigma < 0)[0])
            raise ValueError(f"sigma is {sigma[index]} at index {index}; a standard deviation cannot be negative")
        var = np.square(sigma) if sigma.ndim else float(sigma) ** 2
    third = {"log_var": log_var} if log_var is not None else {"var": var}
    constant = 0.5 * math.log(2 * math.pi) if full else 0.0
    return elementwise(
        "gaussian",
        {"mean": mean, "target": target, **third},
        (as_number(eps, "eps", 0.0), float(log_var is not None), constant),
        shape=broadcast_shape,
        limits=None if log_var is not None else {"var": _VARIANCE},
        reduction=reduction,
        out=out,
        **derivatives(grad, _constant(hess)),
    )


def mse_loss(
    mean: _Array,
    target: _Array,
    *,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> Loss:
    """(target − mean)²: twice the Gaussian loss with variance 1. One shape, or one is a number; nothing else is
    broadcast.

    Source: ``torch.nn.functional.mse_loss``.

    >>> mse_loss([0.0, 1.0], [1.0, 3.0])
    2.5
    """
    return elementwise(
        "squared_error",
        {"mean": mean, "target": target},
        reduction=reduction,
        out=out,
        **derivatives(grad, _constant(hess)),
    )


def poisson_nll_loss(
    input: _Array,
    target: _Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> Loss:
    """λ − target·log λ, with ``input`` = log λ, or = λ if ``log_input=False`` (then log(λ + ``eps``)).

    ``full`` adds Stirling's target·log target − target + ½·log(2π·target) where target > 1.
    ``hess="upper"`` is refused: e^x has no bound. A count of 0 costs λ. Everything broadcasts; that counts are
    whole and not negative is not checked, λ < 0 gives NaN; the gradient is by ``input``.
    Source: ``torch.nn.functional.poisson_nll_loss``.

    >>> poisson_nll_loss([0.0], [3])
    1.0
    """
    if hess == "upper":
        raise ValueError("hess='upper': the second derivative of the Poisson loss has no upper bound; use 'exact'")
    return elementwise(
        "poisson",
        {"input": input, "target": target},
        (float(log_input), float(full), as_number(eps, "eps", 0.0)),
        shape=broadcast_shape,
        reduction=reduction,
        out=out,
        **derivatives(grad, hess),
    )
