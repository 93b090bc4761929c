"""The public losses: documentation, and one call each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast import _core
from nll_fast._arrays import RESULT, aligned, as_array, as_integer, as_number, as_out, as_rows, as_targets, as_weight
from nll_fast.distributions import quantity_of_rows
from nll_fast.reduction import Loss, check_reduction, reduced

_Array = Any


def row_losses(
    kind, rows, target, axis, weight, ignore_index, smoothing=0.0, *, reduction, out, sign=1.0, empty_mean=math.nan
):
    """The losses of rows that are logits, log-probabilities or probabilities, reduced."""
    check_reduction(reduction, out, empty_mean)
    smoothing = as_number(smoothing, "label_smoothing", 0.0, 1.0)
    if ignore_index is not None:
        ignore_index = as_integer(ignore_index, "ignore_index")
    rows, dtype = as_rows(rows, kind, axis)
    targets = as_targets(target, rows)
    weight = as_weight(weight, rows.shape[-1])
    if reduction == "none":
        held = (rows, targets) if weight is None else (rows, targets, weight)
        out = as_out(out, rows.shape[:-1], dtype, held)
    options = (ignore_index, weight, smoothing)
    totals = _core.row_losses(kind, (rows, dtype), targets, options, (out, sign))
    return out if reduction == "none" else reduced(totals, reduction, empty_mean)


def cross_entropy(
    logits: _Array,
    target: _Array,
    *,
    axis: int = -1,
    weight: _Array | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    shift: int = 0,
    mask: _Array | None = None,
    reduction: str = "mean",
    empty_mean: float = math.nan,
    out: np.ndarray | None = None,
) -> Loss:
    """−log softmax(logits)[target], in nats. The class axis is the last one (torch: axis 1).

    With w the class weights and ε the smoothing, the loss of a row is
    ``(1 − ε)·w[t]·nll[t] + ε/C · Σ_c w[c]·nll[c]``, and the mean divides by ``Σ w[t]`` (torch's rule).

    Parameters: ``logits`` float64, float32, float16 or bfloat16, any strides, never copied; ``target`` integers
    of the shape of ``logits`` without ``axis``, or floats of the shape of ``logits``: a distribution y for each
    row, whose loss is ``Σ_c w[c]·y[c]·nll[c]``, the mean over rows; rows with target ``ignore_index`` are not
    read and count for nothing, nor do those where the boolean ``mask``, of the shape of ``target``, is False
    (neither is for distributions, which are not checked to be such); ``shift`` = 1 for a language model whose
    ``target`` are its input tokens: the logits of a position are scored against the target of the next, without a
    copy; ``out`` a float32 or float64 array for the losses of ``reduction="none"``.

    Returns: a Python float, the exact sum of the row losses, rounded once (and divided; each row loss is a
    float64 number, but as precise as its logits' type, float32 at least); or with
    ``"none"`` float64 for float64 logits (or distributions), else float32, 0 for ignored rows; or with ``"partial"`` a
    :class:`nll_fast.Partial`, which adds up over calls without rounding.

    Edge cases: a target at −∞ costs ∞; +∞ or NaN in a row makes that row NaN; no counted rows make the
    mean ``empty_mean``, NaN unless told, and the sum 0 (rows that count, but whose weights are all 0, make the
    mean NaN); any −∞ logit with a weight makes a smoothed loss ∞.

    Raises: IndexError for a target out of range, TypeError for dtypes, ValueError for shapes.
    Source: ``torch.nn.functional.cross_entropy``.

    >>> import numpy as np
    >>> round(cross_entropy(np.log([[0.1, 0.7, 0.2]]), [1]), 3)
    0.357
    """
    if shift or mask is not None:
        logits, target, ignore_index = aligned(logits, target, axis, shift, mask, ignore_index)
    indices = type(target) is np.ndarray and target.dtype.kind == "i"
    if not indices and _is_distribution(target, logits):
        if ignore_index is not None and as_integer(ignore_index, "ignore_index") != -100:
            raise ValueError(
                f"ignore_index={ignore_index} means nothing to a target that is a distribution for each row: leave it "
                "out, and leave out rows by slicing"
            )
        return _soft_cross_entropy(logits, target, axis, weight, label_smoothing, reduction, out, empty_mean)
    return row_losses(
        "logits", logits, target, axis, weight, ignore_index, label_smoothing,
        reduction=reduction, out=out, empty_mean=empty_mean,
    )  # fmt: skip


def _is_distribution(target, logits):
    given, dtype = as_array(target, "target")
    return dtype in RESULT and given.ndim == np.ndim(logits)


def _soft_cross_entropy(logits, target, axis, weight, smoothing, reduction, out, empty_mean):
    smoothing = as_number(smoothing, "label_smoothing", 0.0, 1.0)
    if weight is not None:
        rows, _ = as_rows(logits, "logits", axis)
        weight = as_weight(weight, rows.shape[-1])
    arrays = {"logits": logits, "target": target}
    options = (weight, smoothing)
    return quantity_of_rows("cross_entropy", arrays, axis, reduction, out, options, empty_mean)


def cross_entropy_grad(
    logits: _Array,
    target: _Array,
    *,
    axis: int = -1,
    weight: _Array | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of :func:`cross_entropy` by the logits: softmax − one-hot, weighted and scaled.

    Of the ``"mean"`` or the ``"sum"``; ignored rows get 0. float64 for float64 logits, else float32, of the
    shape of ``logits``; ``out``, of that shape, needs ``axis`` to be the last. The target's entry keeps its
    digits however certain it is. Class indices only, and neither ``shift`` nor ``mask``: what is left out is
    ``ignore_index``. Arguments and errors as for :func:`cross_entropy`.

    >>> cross_entropy_grad([[0.0, 0.0]], [1])
    array([[ 0.5, -0.5]])
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}; a gradient is of the 'mean' or the 'sum'")
    label_smoothing = as_number(label_smoothing, "label_smoothing", 0.0, 1.0)
    if ignore_index is not None:
        ignore_index = as_integer(ignore_index, "ignore_index")
    rows, dtype = as_rows(logits, "logits", axis)
    if _is_distribution(target, logits):
        raise TypeError(
            "cross_entropy_grad takes class indices only; for a distribution y the gradient of a row is "
            "sum(y) * softmax(logits) - y"
        )
    if out is not None and axis not in (-1, rows.ndim - 1):
        raise ValueError(f"out needs the class axis to be the last, not axis {axis}")
    targets = as_targets(target, rows)
    classes = rows.shape[-1]
    weight = as_weight(weight, classes)
    held = (rows, targets) if weight is None else (rows, targets, weight)
    out = as_out(out, rows.shape, dtype, held)
    options = (ignore_index, weight, label_smoothing, reduction == "mean")
    _core.cross_entropy_grad((rows, dtype), targets, classes, options, out)
    return out if axis == -1 else np.moveaxis(out, -1, axis)


def nll_loss(
    log_probs: _Array,
    target: _Array,
    *,
    axis: int = -1,
    weight: _Array | None = None,
    ignore_index: int | None = -100,
    reduction: str = "mean",
    empty_mean: float = math.nan,
    out: np.ndarray | None = None,
) -> Loss:
    """−w[t]·log_probs[target]. Reads one entry a row, and does not check that it is a log-probability; the rest,
    ``empty_mean`` too, as :func:`cross_entropy` with classes as target.

    Source: ``torch.nn.functional.nll_loss``.

    >>> nll_loss([[-1.5, -0.25]], [1])
    0.25
    """
    return row_losses(
        "log_probs", log_probs, target, axis, weight, ignore_index, reduction=reduction, out=out, empty_mean=empty_mean
    )


def categorical_nll(
    probs: _Array,
    target: _Array,
    *,
    axis: int = -1,
    weight: _Array | None = None,
    ignore_index: int | None = -100,
    reduction: str = "mean",
    empty_mean: float = math.nan,
    out: np.ndarray | None = None,
) -> Loss:
    """−w[t]·log probs[target]. Reads one entry a row; a probability of 0 costs ∞. The rest as :func:`nll_loss`.

    Raises ValueError, with the value, its row and class, if that entry is not in [0, 1].

    >>> round(categorical_nll([[0.1, 0.7, 0.2]], [2]), 3)
    1.609
    """
    return row_losses(
        "probs", probs, target, axis, weight, ignore_index, reduction=reduction, out=out, empty_mean=empty_mean
    )


def logsumexp(logits: _Array, *, axis: int = -1, keepdims: bool = False, out: np.ndarray | None = None) -> np.ndarray:
    """log Σ exp(logits) along ``axis`` (SciPy's default is all axes), in nats.

    float64 for float64 logits, else float32. All −∞ gives −∞, a +∞ gives +∞, a NaN gives NaN. The error
    is within 2 ulp of max(|result|, 1): near 0 the two logarithms of the sum cancel.
    Source: ``scipy.special.logsumexp``.

    >>> import numpy as np
    >>> logsumexp(np.zeros((2, 8))).round(4)
    array([2.0794, 2.0794])
    """
    rows, dtype = as_rows(logits, "logits", axis)
    out = as_out(out, rows.shape[:-1], dtype, (rows,))
    _core.logsumexp(rows, dtype, out)
    return np.expand_dims(out, axis) if keepdims else out


def log_softmax(logits: _Array, *, axis: int = -1, out: np.ndarray | None = None) -> np.ndarray:
    """logits − logsumexp(logits) along ``axis``, in nats: the one function whose result is as large as
    its input. For the log-probabilities of given tokens, :func:`token_log_probs` needs no such array.

    float64 for float64 logits, else float32; ``out``, of that dtype, needs ``axis`` to be the last.
    A +∞ or NaN makes its row NaN. Source: ``scipy.special.log_softmax``.

    >>> import numpy as np
    >>> log_softmax(np.log([0.25, 0.75])).round(4)
    array([-1.3863, -0.2877])
    """
    rows, dtype = as_rows(logits, "logits", axis)
    if out is not None and axis not in (-1, rows.ndim - 1):
        raise ValueError(f"out needs the class axis to be the last, not axis {axis}")
    out = as_out(out, rows.shape, dtype, (rows,))
    _core.log_softmax(rows, dtype, out)
    return out if axis == -1 else np.moveaxis(out, -1, axis)
