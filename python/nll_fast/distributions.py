"""Entropy and divergence: of whole distributions, from logits, and of single probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import as_array
from nll_fast._elements import elements
from nll_fast._options import as_flag, shown
from nll_fast._rows import REDUCTIONS, row_quantity
from nll_fast._types import Array, Loss, Reduction, mean_by_default, none_by_default


@none_by_default
def entropy(
    logits: ArrayLike,
    *,
    axis: int = -1,
    shift: int = 0,
    mask: ArrayLike | None = None,
    reduction: Reduction = "none",
    out: Array | None = None,
    grad: bool = False,
) -> Loss:
    """−Σ p·log p of p = softmax(logits) along one axis, in nats.

    Follows ``torch.distributions.Categorical(logits=logits).entropy()``.

    Parameters
    ----------
    logits : array_like, shape (..., C)
        Unnormalised log-probabilities: float64, float32, float16 or bfloat16.
    axis : int
        The class axis, by default the last one.
    shift : int
        How many of the last positions have no result, so that the others are those of :func:`cross_entropy` with
        this ``shift``. The class axis must be the last one, and the axis before it counts the positions.
    mask : array_like of bool, optional
        False where a row is not read, costs 0 and does not count; of the shape of ``logits`` without ``axis``.
        With ``shift``, a row goes by the mask of ``shift`` positions later, as its target does.
    reduction : {"none", "mean", "sum", "partial"}
        One number per row, the mean of those that count, their sum, or a :class:`nll_fast.Partial`.
    out : ndarray, optional
        Receives the entropy of each row, whatever the reduction: a float32 or float64 NumPy array of the
        losses' shape, C-contiguous, sharing no memory with an input.
    grad : bool
        Also return the gradient of the reduced entropy by the logits, p·(−log p − entropy), in their memory order if
        they have at most 128 classes.

    Returns
    -------
    float, ndarray or Partial
        For "none" an array, or a NumPy number of one row: float64 for float64 logits, else float32. A float for
        "mean" and "sum". A logit of −∞ contributes 0; a row of −∞ throughout, or with +∞ or NaN, is NaN.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an array, or ``axis``, does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> entropy(np.array([[0.0, 0.0, -np.inf]])).round(4)
    array([0.6931])
    """
    grad = as_flag(grad, "grad")
    return row_quantity(
        _core.entropy_grad if grad else _core.entropy, {"logits": logits},
        axis=axis, shift=shift, mask=mask, reduction=reduction, out=out, grad=grad,
    )  # fmt: skip


@mean_by_default
def kl_divergence(
    p_logits: ArrayLike,
    q_logits: ArrayLike,
    *,
    axis: int = -1,
    shift: int = 0,
    mask: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
) -> Loss:
    """Σ p·(log p − log q) of p = softmax(p_logits) and q = softmax(q_logits) along one axis, in nats.

    Kullback and Leibler's divergence (1951), as in ``torch.distributions.kl_divergence``.

    Parameters
    ----------
    p_logits, q_logits : array_like, shape (..., C)
        Two arrays of one shape, with the dtypes of :func:`entropy`; nothing is broadcast.
    axis, shift, mask, reduction, out
        As in :func:`entropy`, but the default is the mean over the rows.
    grad : bool
        Also return the gradient of the reduced divergence by the logits that ``wrt`` names, in their memory order if
        they have at most 128 classes.
    wrt : {"p_logits", "q_logits"} or a tuple of both, optional
        By the first, the default, it is p·(log p − log q − divergence); by the second q − p, which distillation
        descends and which keeps its digits where both are nearly equal.

    Returns
    -------
    float, ndarray or Partial
        As in :func:`entropy`, float64 if one of the two arrays is. Never negative, and 0 for equal logits. A
        class with p = 0 contributes 0, one with p > 0 = q contributes ∞.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an array, or ``axis``, does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> round(kl_divergence(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])), 6)
    0.143841
    """
    grad = as_flag(grad, "grad")
    if wrt is not None and not grad:
        raise ValueError(f"wrt is {shown(wrt)}, which names what a gradient is by; it needs grad=True")
    return row_quantity(
        _core.kl_divergence_grad if grad else _core.kl_divergence,
        {"p_logits": p_logits, "q_logits": q_logits},
        axis=axis, shift=shift, mask=mask, reduction=reduction, out=out, grad=grad, wrt=wrt,
    )  # fmt: skip


def entr(p: ArrayLike, *, out: Array | None = None) -> Array:
    """−p·log p of each element, as in ``scipy.special.entr``.

    Parameters
    ----------
    p : array_like
        Floats, integers or booleans.
    out : ndarray, optional
        Receives each result: a float32 or float64 NumPy array of the results' shape, C-contiguous, sharing no
        memory with an input.

    Returns
    -------
    ndarray
        float32 for floats narrower than float64, else float64. 0 → 0, p < 0 → −∞.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> entr(np.array([0.0, 0.5]))
    array([0.        , 0.34657359])
    """
    if out is None:
        try:
            return _core.entr(p, "none")
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(_core.entr, {"p": p}, out=out)


def rel_entr(p: ArrayLike, q: ArrayLike, *, out: Array | None = None) -> Array:
    """p·log(p/q) of each element, as in ``scipy.special.rel_entr``.

    Parameters
    ----------
    p, q : array_like
        Floats, integers or booleans, of one shape, or one of them a number.
    out : ndarray, optional
        As in :func:`entr`.

    Returns
    -------
    ndarray
        As in :func:`entr`. p = 0 gives 0, p > 0 = q gives ∞. Full relative precision where p is near q.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> rel_entr(np.array([0.0, 0.5]), np.array([0.5, 0.25])).round(6)
    array([0.      , 0.346574])
    """
    if out is None:
        try:
            return _core.rel_entr(p, q, "none")
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(_core.rel_entr, {"p": p, "q": q}, out=out)


@mean_by_default
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    reduction: Reduction | Literal["batchmean"] = "mean",
    out: Array | None = None,
) -> Loss:
    """target·(log target − input) of each element, as in ``torch.nn.functional.kl_div``.

    Parameters
    ----------
    input : array_like
        log q.
    target : array_like
        p, or log p if ``log_target=True``; of the shape of ``input``, or one of the two is a number.
    log_target : bool
        Whether ``target`` is log p.
    reduction : {"mean", "batchmean", "sum", "none", "partial"}
        "batchmean" divides the sum by the length of the first axis, which gives the divergence of rows of
        classes. "mean" divides it by the number of elements, as PyTorch does. The others return the sum, each
        element, or a :class:`nll_fast.Partial`.
    out : ndarray, optional
        As in :func:`entr`.

    Returns
    -------
    float, ndarray or Partial
        As in :func:`binary_cross_entropy_with_logits`. p = 0 gives 0, also where ``input`` is −∞.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> round(kl_div(np.log([[0.5, 0.5]]), [[0.5, 0.5]], reduction="batchmean"), 12)
    0.0
    """
    arrays, batchmean = {"input": input, "target": target}, isinstance(reduction, str) and reduction == "batchmean"
    if not batchmean and not (isinstance(reduction, str) and reduction in REDUCTIONS):
        raise ValueError(f"reduction is {shown(reduction)}; use 'mean', 'batchmean', 'sum', 'none' or 'partial'")
    how = "sum" if batchmean else reduction
    loss, log_target = None, as_flag(log_target, "log_target")
    if out is None:
        try:
            loss = _core.kl_div(input, target, log_target, how)
        except TypeError:
            loss = None  # An argument is converted, or refused in words, below.
    if loss is None:
        loss = elements(_core.kl_div, arrays, log_target, reduction=how, out=out)
    if not batchmean:
        return loss
    shape = np.broadcast_shapes(*(as_array(x, name).shape for name, x in arrays.items()))
    if not shape:
        raise ValueError("reduction='batchmean' needs a first axis to divide by, and there is none")
    return loss / max(shape[0], 1)
