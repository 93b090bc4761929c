"""Losses of rows of classes: cross entropy, its gradient, and the normalisations it is built on."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import as_array, dtype_name
from nll_fast._axes import log_shares, log_sums
from nll_fast._gradients import row_gradient
from nll_fast._options import as_flag, as_integer, as_number, is_name, shown
from nll_fast._rows import row_losses, row_quantity, usual_losses
from nll_fast._types import Array, Hessian, Loss, Reduction, mean_by_default


@mean_by_default
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    shift: int = 0,
    mask: ArrayLike | None = None,
    reduction: Reduction = "mean",
    empty_mean: float = math.nan,
    out: Array | None = None,
    grad: bool = False,
    hess: Hessian | None = None,
) -> Loss:
    """−log softmax(logits)[target], in nats, as in ``torch.nn.functional.cross_entropy``.

    Parameters
    ----------
    logits : array_like, shape (..., C)
        Unnormalised log-probabilities of C classes: float64, float32, float16 or bfloat16, of any strides,
        never copied.
    target : array_like
        The class of each row: integers, booleans or whole floats of the shape of ``logits`` without ``axis``. Or floats
        of the shape of ``logits``, a distribution over the classes for each row, whose sum is not checked.
    axis : int
        The class axis, by default the last one (in PyTorch it is axis 1).
    weight : array_like, shape (C,), optional
        A finite factor for each class.
    sample_weight : array_like, optional
        A finite factor for each row, of the shape of ``logits`` without ``axis``; the mean divides by the sum of the
        weights. With ``shift``, of that shape or one for each target behind the first ones.
    ignore_index : int or None
        A row with this target costs 0 and does not count, whatever it holds. Not for distributions.
    label_smoothing : float
        The share ε of the target, in [0, 1], that is spread evenly over all classes.
    shift : int
        How many positions later the target of a row is found: 1 for a language model whose ``target`` are its
        input tokens. Nothing is copied, but the last ``shift`` positions have no result. The class axis must
        be the last one, and the axis before it counts the positions.
    mask : array_like of bool, optional
        False where a row is to be ignored like ``ignore_index``; of the shape of ``logits`` without ``axis``. Integers
        0 and 1 will do.
    reduction : {"mean", "sum", "none", "partial"}
        The mean over the counted rows, their sum, the loss of each row, or a :class:`nll_fast.Partial`: a
        total that adds up over several calls without rounding.
    empty_mean : float
        The mean if no row counts; only with ``reduction="mean"``.
    out : ndarray, optional
        Receives each loss, whatever the reduction: a float32 or float64 NumPy array of the losses' shape,
        C-contiguous, sharing no memory with an input.
    grad : bool
        Also return the gradient of the reduced loss by the logits, as :func:`cross_entropy_grad` does, of the sum with
        "none" and "partial". Each row is
        read from memory once for both.
    hess : {"exact", "upper"}, optional
        Also return the gradient and the second derivatives by each logit alone, w·p·(1 − p), or their upper bounds
        over all logits, w/4, as boosting takes them. Of class targets only.

    Returns
    -------
    float, ndarray or Partial
        A float for "mean" and "sum", from the exact sum of the losses, rounded once. For "none" an array of
        one loss per row, or ``out``: float64 if an input is float64, else float32, and 0 for ignored rows.

    tuple
        (loss, gradient) with ``grad=True``, (loss, gradient, hessian) with ``hess``.

    Raises
    ------
    IndexError
        If a target is not a class; the first such target and its row are named.
    TypeError, ValueError
        If a dtype, a shape or an option is wrong.

    Notes
    -----
    Let nll = −log softmax(logits), w the weights, all 1 if not given, and y a distribution. A row costs ::

        (1 − ε)·w[t]·nll[t] + ε/C · Σ_c w[c]·nll[c]      for a class t
        Σ_c w[c]·((1 − ε)·y[c] + ε/C)·nll[c]             for a distribution y

    times its sample weight s. The mean divides by the sum of s·w[t] over the counted rows, or of s for distributions.

    A weight of 0 makes a loss 0, even an infinite one. A target whose logit is −∞ costs ∞; with smoothing so does
    any logit of −∞ whose class has a weight. A class with y[c] = 0 costs 0. A row with +∞ or NaN is NaN. If all
    counted rows have the weight 0, the mean is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> round(cross_entropy(np.log([[0.1, 0.7, 0.2]]), [1]), 3)
    0.357
    >>> cross_entropy(np.zeros((3, 4)), [0, 3, -100], reduction="none").round(4)
    array([1.3863, 1.3863, 0.    ])
    """
    is_usual = type(axis) is type(shift) is int and axis == -1 and shift == 0 and empty_mean is math.nan
    is_usual = is_usual and grad is False and type(label_smoothing) is float
    if is_usual and weight is sample_weight is mask is out is hess is None:
        loss = usual_losses(
            _core.cross_entropy, logits, target, ignore_index, reduction, label_smoothing=label_smoothing
        )
        if loss is not None:
            return loss
    smoothing, grad = as_number(label_smoothing, "label_smoothing"), as_flag(grad, "grad")
    if _is_distribution(target, logits):
        _check_unused(ignore_index)
        if hess is not None:
            raise TypeError(
                f"hess is {shown(hess)}, which takes class indices, but target is {shown(as_array(target, 'target'))}: "
                "of a distribution y it is sum(y) * p * (1 - p)"
            )
        return row_quantity(
            _core.soft_cross_entropy,
            {"logits": logits, "target": target},
            axis=axis, shift=shift, mask=mask, reduction=reduction, out=out, empty_mean=empty_mean,
            weight=weight, sample_weight=sample_weight, label_smoothing=smoothing,
            slopes=_core.soft_cross_entropy_grad if grad else None,
        )  # fmt: skip
    return row_losses(
        _core.cross_entropy if not grad and hess is None else _core.cross_entropy_grad,
        "logits", logits, target,
        axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index, shift=shift, mask=mask,
        reduction=reduction, empty_mean=empty_mean, out=out, grad=grad, hess=hess, label_smoothing=smoothing,
    )  # fmt: skip


def _check_unused(ignore_index: Any) -> None:
    if ignore_index is not None and as_integer(ignore_index, "ignore_index") != -100:
        raise ValueError(
            f"ignore_index={shown(ignore_index)} means nothing to a target that is a distribution for each row: leave "
            "it out, and leave out rows by slicing"
        )


def _is_distribution(target: Any, logits: Any) -> bool:
    """Whether ``target`` holds floats and has as many axes as ``logits``."""
    if type(target) is np.ndarray and target.dtype.kind == "i":
        return False
    target = as_array(target, "target")
    return "float" in dtype_name(target) and target.ndim == as_array(logits, "logits").ndim


def cross_entropy_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    shift: int = 0,
    mask: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Array:
    """The gradient of :func:`cross_entropy` by the logits: softmax − one-hot, weighted and scaled.

    Errors are those of :func:`cross_entropy`, which returns the loss too with ``grad=True``.

    Parameters
    ----------
    logits, axis, weight, sample_weight, ignore_index, label_smoothing, shift, mask
        As in :func:`cross_entropy`. Ignored rows have the gradient 0, as have the last positions with ``shift``.
        With ``reduction="sum"``, a policy gradient is that of ``sample_weight=advantages``.
    target : array_like of int
        The class of each row. For distributions, call :func:`cross_entropy` with ``grad=True``.
    reduction : {"mean", "sum"}
        The reduction of the loss whose gradient is returned.
    out : ndarray, optional
        Receives the gradient: a float32 or float64 NumPy array of the shape of ``logits``, C-contiguous,
        sharing no memory with an input. The class axis must then be the last one.

    Returns
    -------
    ndarray
        The gradient, of the shape of ``logits``, or ``out``: float64 for float64 logits, else float32. The
        target's entry keeps its relative precision where the model is almost certain. Of at most 128 classes
        that are not the last axis in memory, as of images or in Fortran order, it has the logits' memory order.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> cross_entropy_grad([[0.0, 0.0]], [1])
    array([[ 0.5, -0.5]])
    """
    if not is_name(reduction, ("mean", "sum")):
        raise ValueError(f"reduction is {shown(reduction)}; a gradient is of the 'mean' or the 'sum'")
    if _is_distribution(target, logits):
        raise TypeError(
            f"target is {shown(as_array(target, 'target'))}; cross_entropy_grad takes class indices: for "
            "distributions, cross_entropy(..., grad=True)[1]"
        )
    return row_gradient(
        _core.cross_entropy_grad,
        logits, target,
        axis=axis, weight=weight, sample_weight=sample_weight,
        ignore_index=None if ignore_index is None else as_integer(ignore_index, "ignore_index"), shift=shift, mask=mask,
        out=out, label_smoothing=as_number(label_smoothing, "label_smoothing"), mean=reduction == "mean",
    )[0]  # fmt: skip


@mean_by_default
def nll_loss(
    log_probs: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    reduction: Reduction = "mean",
    empty_mean: float = math.nan,
    out: Array | None = None,
) -> Loss:
    """−weight[target]·log_probs[target], in nats, as in ``torch.nn.functional.nll_loss``.

    Results and errors are those of :func:`cross_entropy`.

    Parameters
    ----------
    log_probs : array_like, shape (..., C)
        Log-probabilities of the same dtypes. One entry of each row is read, and its sign is not checked.
    target : array_like of int
        The class of each row.
    axis, weight, sample_weight, ignore_index, reduction, empty_mean, out
        As in :func:`cross_entropy`.

    Returns
    -------
    float, ndarray or Partial
        As of :func:`cross_entropy`.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> nll_loss([[-1.5, -0.25]], [1])
    0.25
    """
    if type(axis) is int and axis == -1 and empty_mean is math.nan and weight is sample_weight is out is None:
        loss = usual_losses(_core.nll_loss, log_probs, target, ignore_index, reduction)
        if loss is not None:
            return loss
    return row_losses(
        _core.nll_loss,
        "log_probs", log_probs, target,
        axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index,
        reduction=reduction, empty_mean=empty_mean, out=out,
    )  # fmt: skip


@mean_by_default
def categorical_nll(
    probs: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    clamp: Literal["eps"] | None = None,
    reduction: Reduction = "mean",
    empty_mean: float = math.nan,
    out: Array | None = None,
) -> Loss:
    """−weight[target]·log probs[target], in nats; of distributions as targets −Σ weight·target·log probs.

    Results and other errors are those of :func:`cross_entropy`. With one-hot or other distributions this is
    scikit-learn's ``log_loss`` and Keras's ``categorical_crossentropy``.

    Parameters
    ----------
    probs : array_like, shape (..., C)
        Probabilities of the same dtypes, whose sum is not checked; a probability of 0 costs ∞. For class targets one
        entry of each row is read.
    target : array_like
        The class of each row, or a distribution over the classes for each row, as in :func:`cross_entropy`. A class
        with target 0 costs 0.
    clamp : "eps" or None
        "eps" clips the probability to [ε, 1 − ε] like scikit-learn's ``log_loss``, with the machine epsilon of the
        dtype of ``probs``: in float64 an impossible class costs 36 and not ∞.
    axis, weight, sample_weight, ignore_index, reduction, empty_mean, out
        As in :func:`cross_entropy`.

    Returns
    -------
    float, ndarray or Partial
        As of :func:`cross_entropy`.

    Raises
    ------
    ValueError
        If an entry that is read lies outside [0, 1]; its value, row and class are named.

    Examples
    --------
    >>> round(categorical_nll([[0.1, 0.7, 0.2]], [2]), 3)
    1.609
    >>> round(categorical_nll([[0.1, 0.7, 0.2]], [[0.0, 0.5, 0.5]]), 3)
    0.983
    """
    if type(axis) is int and axis == -1 and empty_mean is math.nan and weight is sample_weight is out is None:
        loss = usual_losses(_core.categorical_nll, probs, target, ignore_index, reduction, clamp=clamp)
        if loss is not None:
            return loss
    if _is_distribution(target, probs):
        _check_unused(ignore_index)
        return row_quantity(
            _core.expected_loss,
            {"probs": probs, "target": target},
            axis=axis, reduction=reduction, out=out, empty_mean=empty_mean,
            weight=weight, sample_weight=sample_weight, clamp=clamp,
        )  # fmt: skip
    return row_losses(
        _core.categorical_nll,
        "probs", probs, target,
        axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index,
        reduction=reduction, empty_mean=empty_mean, out=out, clamp=clamp,
    )  # fmt: skip


def logsumexp(
    logits: ArrayLike,
    *,
    axis: int | tuple[int, ...] | None = -1,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    out: Array | None = None,
) -> Array:
    """log Σ b·exp(logits) along one or several axes, in nats, as in ``scipy.special.logsumexp``.

    Parameters
    ----------
    logits : array_like, shape (..., C)
        float64, float32, float16 or bfloat16, of any strides; or integers or booleans, which are copied as float64.
    axis : int, tuple of int or None
        The axis to sum over, or several, or None for all; by default the last one (in SciPy, all axes). The
        logits are copied if their strides do not let several axes be seen as one.
    b : array_like, optional
        A factor for each term, 1 by default, of any range: it and ``logits`` broadcast by NumPy's rules, and ``axis``
        is one of their common shape. Where it is 0 the logit does not count, whatever it is.
    keepdims : bool
        Keep ``axis`` in the result, with length 1.
    out : ndarray, optional
        Receives each result: a float32 or float64 NumPy array of the shape of ``logits`` without ``axis``,
        C-contiguous, sharing no memory with an input.

    Returns
    -------
    ndarray
        float64 if ``logits`` or ``b`` is, else float32; a NumPy number for one row. Nothing to sum gives −∞, and so
        does −∞ throughout; a +∞ gives +∞, a NaN gives NaN, and so does a sum below 0. Near 0 the result has its
        digits if one logit dominates, and loses them if the largest logit and the logarithm cancel, as for normalized
        log-probabilities (docs/accuracy.md).

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an array, or ``axis``, does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> logsumexp(np.zeros((2, 8))).round(4)
    array([2.0794, 2.0794])
    >>> logsumexp(np.zeros((2, 8)), axis=None).round(4)
    np.float64(2.7726)
    >>> logsumexp([0.0, 1000.0], b=[0.5, 0.0]).round(4)
    np.float64(-0.6931)
    """
    return log_sums(_core.logsumexp, logits, axis, b, out, keepdims)


def log_softmax(logits: ArrayLike, *, axis: int | tuple[int, ...] | None = -1, out: Array | None = None) -> Array:
    """logits − logsumexp(logits) along one or several axes, in nats, as in ``scipy.special.log_softmax``.

    For the log-probabilities of given tokens alone, :func:`token_log_probs` needs no array of this size.

    Parameters
    ----------
    logits, axis
        As in :func:`logsumexp`.
    out : ndarray, optional
        Receives the result: a float32 or float64 NumPy array of the shape of ``logits``, C-contiguous,
        sharing no memory with an input. The class axes must then be the last ones.

    Returns
    -------
    ndarray
        Of the shape of ``logits``, a NumPy number for one number; float64 for float64 logits, else float32. A row
        with +∞ or NaN is NaN.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an array, or ``axis``, does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.log([0.25, 0.75])).round(4)
    array([-1.3863, -0.2877])
    """
    return log_shares(_core.log_softmax, logits, axis, out)
