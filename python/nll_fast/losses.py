"""Losses of rows of logits: cross entropy and its gradient."""

from __future__ import annotations

import math
from typing import Unpack, overload

from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import as_array, is_distribution
from nll_fast._gradients import row_gradient
from nll_fast._options import as_flag, as_integer, as_number, is_name, shown
from nll_fast._rows import check_unused, row_losses, row_quantity
from nll_fast._types import Array, GradientOptions, Hessian, Loss, Reduction, mean_by_default


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
        Also return the gradient of the reduced loss by the logits (of the sum for "none" and "partial"), as
        :func:`cross_entropy_grad` does. Each row is read from memory once for both.
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
    # What is usual goes to the kernels as it is: to look at each argument would double the time of a small call.
    is_usual = type(axis) is type(shift) is int and axis == -1 and shift == 0 and empty_mean is math.nan
    is_usual = is_usual and grad is False and type(label_smoothing) is float
    if is_usual and weight is sample_weight is mask is out is hess is None:
        try:
            return _core.cross_entropy(
                logits, target, None, None, ignore_index, None, reduction, empty_mean, label_smoothing
            )
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    smoothing, grad = as_number(label_smoothing, "label_smoothing"), as_flag(grad, "grad")
    if is_distribution(target, logits):
        check_unused(ignore_index)
        if hess is not None:
            raise TypeError(
                f"hess is {shown(hess)}, which takes class indices, but target is {shown(as_array(target, 'target'))}: "
                "of a distribution y it is sum(y) * p * (1 - p)"
            )
        return row_quantity(
            _core.soft_cross_entropy_grad if grad else _core.soft_cross_entropy,
            {"logits": logits, "target": target},
            axis=axis, shift=shift, mask=mask, reduction=reduction, out=out, empty_mean=empty_mean,
            weight=weight, sample_weight=sample_weight, label_smoothing=smoothing, grad=grad,
        )  # fmt: skip
    return row_losses(
        _core.cross_entropy if not grad and hess is None else _core.cross_entropy_grad,
        "logits", logits, target,
        axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index, shift=shift, mask=mask,
        reduction=reduction, empty_mean=empty_mean, out=out, grad=grad, hess=hess, label_smoothing=smoothing,
    )  # fmt: skip


@overload
def cross_entropy_grad(
    logits: ArrayLike, target: ArrayLike, *, hess: None = None, **options: Unpack[GradientOptions]
) -> Array: ...
@overload
def cross_entropy_grad(
    logits: ArrayLike, target: ArrayLike, *, hess: Hessian, **options: Unpack[GradientOptions]
) -> tuple[Array, Array]: ...
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
    hess: Hessian | None = None,
) -> Array | tuple[Array, Array]:
    """The gradient of :func:`cross_entropy` by the logits: softmax − one-hot, weighted and scaled.

    With ``hess`` it is what an objective for boosting returns. Errors are those of :func:`cross_entropy`, which
    returns the loss too with ``grad=True``.

    Parameters
    ----------
    logits, axis, weight, sample_weight, ignore_index, label_smoothing, shift, mask
        As in :func:`cross_entropy`. Ignored rows have derivatives of 0, as have the last positions with ``shift``.
        With ``reduction="sum"``, a policy gradient is that of ``sample_weight=advantages``.
    target : array_like of int
        The class of each row. For distributions, call :func:`cross_entropy` with ``grad=True``.
    reduction : {"mean", "sum"}
        The reduction of the loss whose derivatives are returned. Boosting takes those of the sum.
    out : ndarray, optional
        Receives the gradient: a float32 or float64 NumPy array of the shape of ``logits``, C-contiguous,
        sharing no memory with an input. The class axis must then be the last one.
    hess : {"exact", "upper"}, optional
        Also return the second derivatives by each logit alone, a·p·(1 − p), or a/4, which no logits exceed where
        weights are not negative. a is the factor of the row: its weight and that of its class, smoothed, and for
        "mean" divided by the sum of the weights.

    Returns
    -------
    ndarray
        The gradient, of the shape of ``logits``, or ``out``: float64 for float64 logits, else float32. The
        target's entry keeps its relative precision where the model is almost certain. Of at most 128 classes
        that are not the last axis in memory, as of images or in Fortran order, it has the logits' memory order.

    tuple
        (gradient, hessian) with ``hess``. The second derivatives are a new array whatever ``out`` is: float64 for
        float64 logits, else float32. Two new arrays may be parts of one piece of memory, which lives as long as one
        of them.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> cross_entropy_grad([[0.0, 0.0]], [1])
    array([[ 0.5, -0.5]])
    >>> cross_entropy_grad([[0.0, 0.0]], [1], hess="exact")[1]
    array([[0.25, 0.25]])
    """
    if not is_name(reduction, ("mean", "sum")):
        raise ValueError(f"reduction is {shown(reduction)}; a gradient is of the 'mean' or the 'sum'")
    if is_distribution(target, logits):
        raise TypeError(
            f"target is {shown(as_array(target, 'target'))}; cross_entropy_grad takes class indices: of a "
            "distribution y the gradient is cross_entropy(..., grad=True)[1], and the Hessian sum(y) * p * (1 - p)"
        )
    slopes, curves, _ = row_gradient(
        _core.cross_entropy_grad,
        logits, target,
        axis=axis, weight=weight, sample_weight=sample_weight,
        ignore_index=None if ignore_index is None else as_integer(ignore_index, "ignore_index"), shift=shift, mask=mask,
        out=out, label_smoothing=as_number(label_smoothing, "label_smoothing"), mean=reduction == "mean", hess=hess,
    )  # fmt: skip
    return slopes if curves is None else (slopes, curves)
