"""Losses of yes or no, from a logit or a probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._elements import elements
from nll_fast._options import as_flag
from nll_fast._types import Array, Hessian, Loss, Reduction, mean_by_default


@mean_by_default
def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike = 1.0,
    mask: ArrayLike | None = None,
    validate: bool = True,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    hess: Hessian | None = None,
) -> Loss:
    """pos_weight·y·softplus(−x) + (1 − y)·softplus(x): −log p of a yes/no label, in nats.

    Follows ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Parameters
    ----------
    logits : array_like
        The log-odds x of "yes". Floats, integers or booleans, of any shape and strides.
    target : array_like
        The label y: 0, 1 or a probability, of any such dtype. It has the shape of ``logits``, or one of the
        two is a single number: (n, 1) beside (n,) is an error and not broadcast.
    weight : array_like, optional
        A finite factor for each loss, which the mean does not divide by (torch; for scikit-learn's weighted mean,
        ``Partial.of(losses, weight).mean``). Broadcasts to the shape of the losses, or holds one number for each row;
        where both are possible it is an error, as of a variance in :func:`gaussian_nll_loss`.
    pos_weight : array_like
        A factor for the positive term; broadcasts to the shape of the losses.
    mask : array_like of bool, optional
        False where an element is missing: it costs 0, its gradient is 0, it does not count, and what stands there
        (a NaN, a label of no meaning) changes nothing. Broadcasts like ``weight``; integers 0 and 1 will do.
    validate : bool
        Raise if a label that counts lies outside [0, 1], such as 255 of a picture, or the logits of swapped arguments.
    reduction : {"mean", "sum", "none", "partial"}
        The mean over all elements that count (also with ``weight``), their sum, the loss of each element, or a
        :class:`nll_fast.Partial`: a total that adds up over several calls without rounding.
    out : ndarray, optional
        Receives each loss, whatever the reduction: a float32 or float64 NumPy array of the losses' shape,
        C-contiguous, sharing no memory with an input.
    grad : bool
        Also return the gradient of the reduced loss, an array of the losses' shape; of their sum with "none" and
        "partial".
    wrt : str or tuple of str, optional
        The names of the arguments that the gradient is by, here "logits", "target" or a
        ``pos_weight`` other than 1; several give a tuple of gradients.
        By default the first argument, the prediction. Of an argument that broadcasts, sum the gradient over the
        axes along which it does.
    hess : {"exact", "upper"}, optional
        Also return the gradient and the second derivatives by the first argument, or upper bounds of these over
        all its values; here the bound is (pos_weight·y + 1 − y)/4, which never vanishes.

    Returns
    -------
    float, ndarray or Partial
        A float for "mean" and "sum", from the exact sum of the losses, rounded once; the mean of nothing is
        NaN. For "none" an array in the memory order of the inputs, or ``out``: float32 if a float input is
        narrower than float64 and none is float64, else float64. A NumPy number if all inputs are numbers.
    tuple
        (loss, gradient) with ``grad=True``, (loss, gradient, hessian) with ``hess``. Arrays of one call may be parts of
        one piece of memory, which lives as long as one of them.

    Raises
    ------
    ValueError
        If ``validate`` finds such a label. It and its index are named; ``out`` may have been written to.
    TypeError, ValueError
        If a dtype, a shape or an option is wrong.

    Notes
    -----
    A certain logit, ±∞, costs 0 or ∞ and never NaN. A NaN costs NaN.

    Examples
    --------
    >>> round(binary_cross_entropy_with_logits([0.0, 2.0], [0, 1]), 6)
    0.410038
    >>> binary_cross_entropy_with_logits([0.0, 0.0], [0, 1], reduction="sum", grad=True)[1]
    array([ 0.5, -0.5])
    """
    if weight is mask is out is wrt is hess is None and grad is False:
        try:
            return _core.binary_cross_entropy_with_logits(logits, target, pos_weight, validate, reduction)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(
        _core.binary_cross_entropy_with_logits,
        {"logits": logits, "target": target, "pos_weight": pos_weight},
        validate is True or as_flag(validate, "validate"),
        weight=weight, mask=mask, reduction=reduction, out=out, grad=grad, wrt=wrt, hess=hess,
    )  # fmt: skip


@mean_by_default
def binary_cross_entropy(
    probs: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    clamp: Literal["torch", "eps"] | None = "torch",
    validate: bool = True,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Loss:
    """−y·log p − (1 − y)·log(1 − p): −log p of a yes/no label, in nats, from probabilities.

    Follows ``torch.nn.functional.binary_cross_entropy``. Results and other errors are those of
    :func:`binary_cross_entropy_with_logits`. Prefer that function: a p near 1 has lost the digits of 1 − p.

    Parameters
    ----------
    probs : array_like
        The probability p of "yes".
    target : array_like
        The label y, 0, 1 or a probability; of the shape of ``probs``, or one of the two is a single number.
    clamp : {"torch", "eps"} or None
        "torch" lets no logarithm fall below −100. "eps" clips p to [ε, 1 − ε] like scikit-learn's
        ``log_loss``, with the machine epsilon of the dtype of ``probs``; of the result's, if they are no array of
        floats. None: a certain mistake costs ∞.
    validate : bool
        Raise if a probability or a label that counts lies outside [0, 1] or is NaN, or if integers as probabilities
        and floats as labels show that the two were swapped.
    weight, mask, reduction, out
        As in :func:`binary_cross_entropy_with_logits`.

    Returns
    -------
    float, ndarray or Partial
        As of :func:`binary_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        If ``validate`` finds such a value. It and its index are named; ``out`` may have been written to.

    Examples
    --------
    >>> round(binary_cross_entropy([0.9, 0.2], [1, 0]), 6)
    0.164252
    """
    if weight is mask is out is None:
        try:
            return _core.binary_cross_entropy(probs, target, clamp, validate, reduction)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(
        _core.binary_cross_entropy,
        {"probs": probs, "target": target},
        clamp, validate is True or as_flag(validate, "validate"),
        weight=weight, mask=mask, reduction=reduction, out=out,
    )  # fmt: skip


def log_sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """log(1/(1 + e^−x)) of each element, as in ``torch.nn.functional.logsigmoid`` and SciPy's ``log_expit``.

    Parameters
    ----------
    x : array_like
        Floats, integers or booleans.
    out : ndarray, optional
        As in :func:`binary_cross_entropy_with_logits`.

    Returns
    -------
    ndarray
        float32 for floats narrower than float64, else float64, in the memory order of ``x``. −∞ → −∞, +∞ → 0,
        NaN → NaN; subnormal results are kept.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> log_sigmoid(np.array([0.0, 40.0]))
    array([-6.93147181e-01, -4.24835426e-18])
    """
    if out is None:
        try:
            return _core.log_sigmoid(x, "none")
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(_core.log_sigmoid, {"x": x}, out=out)


def softplus(x: ArrayLike, *, out: Array | None = None) -> Array:
    """log(1 + e^x) of each element, as in ``torch.nn.functional.softplus``.

    Parameters
    ----------
    x, out
        As in :func:`log_sigmoid`.

    Returns
    -------
    ndarray
        The negative of :func:`log_sigmoid` at −x, of the same dtype. −∞ → 0, +∞ → +∞, NaN → NaN.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> softplus(np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    if out is None:
        try:
            return _core.softplus(x, "none")
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(_core.softplus, {"x": x}, out=out)
