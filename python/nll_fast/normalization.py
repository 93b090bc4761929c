"""The normalisations that losses of logits are built on: log Σ e^x, and each logit's share of it."""

from __future__ import annotations

from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._axes import log_shares, log_sums
from nll_fast._types import Array


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
