"""Language models: what a token, a text and a byte cost. Errors are those of :func:`cross_entropy`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import as_array
from nll_fast._options import as_integer, shown
from nll_fast._rows import row_losses
from nll_fast._shift import named_targets, shift_and_mask
from nll_fast._types import Array
from nll_fast.losses import cross_entropy


def token_log_probs(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: ArrayLike | None = None,
    out: Array | None = None,
) -> Array:
    """log softmax(logits)[target] of each row, in nats: the negative of ``cross_entropy(reduction="none")``.

    Parameters
    ----------
    logits, axis, ignore_index, shift, mask, out
        As in :func:`cross_entropy`.
    target : array_like of int
        The token of each row, of the shape of ``logits`` without ``axis``.

    Returns
    -------
    ndarray
        Of the shape of ``target``, its last axis ``shift`` shorter, a NumPy number for one row, or ``out``:
        float64 for float64 logits, else float32. Never above 0; 0 for ignored rows.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> token_log_probs(np.zeros((1, 4)), [2]).round(4)
    array([-1.3863])
    """
    if type(axis) is type(shift) is int and axis == -1 and shift == 0 and mask is out is None:
        try:
            return _core.cross_entropy(logits, target, None, None, ignore_index, None, "none", math.nan, negate=True)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return row_losses(
        _core.cross_entropy,
        "logits", logits, target,
        axis=axis, ignore_index=ignore_index, shift=shift, mask=mask, reduction="none", out=out, negate=True,
    )  # fmt: skip


def sequence_log_probs(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """The log-probability of each text, in nats, and the number of its counted tokens.

    Parameters
    ----------
    logits : array_like, shape (..., T, V)
        For each of T positions the logits of V tokens, with the dtypes of :func:`cross_entropy`.
    target : array_like of int, shape (..., T)
        The tokens.
    ignore_index, shift, mask
        As in :func:`cross_entropy`.

    Returns
    -------
    sums : ndarray of float64, shape (...)
        The sums of :func:`token_log_probs` over the positions, as :func:`dpo_loss` takes them.
    counts : ndarray of int64, shape (...)
        How many tokens counted; ``sums / counts`` is the length-normalised score.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> sums, counts = sequence_log_probs(np.zeros((2, 3, 4)), [[0, 1, 2], [3, -100, -100]], shift=0)
    >>> sums.round(4), counts
    (array([-4.1589, -1.3863]), array([3, 1]))
    """
    logits, target, ignore_index = shift_and_mask(logits, target, -1, shift, mask, ignore_index)
    target = as_array(target, "target")
    if target.ndim == 0:
        raise ValueError(f"target is {shown(target)}, a scalar; it needs a last axis of positions")
    shape = as_array(logits, "logits").shape
    if target.shape != shape[:-1]:
        raise ValueError(f"target has shape {target.shape}, but logits of shape {shape} need {shape[:-1]}")
    with named_targets(shift):
        each = token_log_probs(logits, target, ignore_index=ignore_index, out=np.empty(target.shape))
    counts = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    return each.sum(-1), counts.sum(-1)


def perplexity(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: ArrayLike | None = None,
) -> float:
    """exp of the mean cross entropy of all counted tokens.

    All tokens weigh the same, whatever text they belong to: the mean of the perplexities of several texts is
    another number.

    Parameters
    ----------
    logits, target, axis, ignore_index, shift, mask
        As in :func:`token_log_probs`.

    Returns
    -------
    float
        At least 1; ∞ if it exceeds float64, NaN if no token counts.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> round(perplexity(np.zeros((3, 8)), [0, 1, 2]), 12)
    8.0
    """
    return _core.exp(cross_entropy(logits, target, axis=axis, ignore_index=ignore_index, shift=shift, mask=mask))


def bits_per_token(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: ArrayLike | None = None,
) -> float:
    """The mean cross entropy of all counted tokens in bits: nats / log 2.

    Parameters
    ----------
    logits, target, axis, ignore_index, shift, mask
        As in :func:`token_log_probs`.

    Returns
    -------
    float
        NaN if no token counts.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> bits_per_token(np.zeros((3, 8)), [0, 1, 2])
    3.0
    """
    mean = cross_entropy(logits, target, axis=axis, ignore_index=ignore_index, shift=shift, mask=mask)
    return mean / math.log(2)


def bits_per_byte(
    logits: ArrayLike,
    target: ArrayLike,
    n_bytes: int,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: ArrayLike | None = None,
) -> float:
    """The cross entropy of all counted tokens in bits, over the number of bytes of their text.

    It compares models with different vocabularies, as in The Pile (Gao et al. 2020) and EleutherAI's
    lm-evaluation-harness.

    Parameters
    ----------
    logits, target, axis, ignore_index, shift, mask
        As in :func:`token_log_probs`.
    n_bytes : int
        The length in UTF-8 of the text that the counted tokens stand for: ``len(text.encode())``; at least 1.

    Returns
    -------
    float
        0 if no token counts.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> bits_per_byte(np.zeros((2, 256)), [104, 105], n_bytes=len("hi"))
    8.0
    """
    if isinstance(n_bytes, (bytes, str)):
        raise TypeError(f"n_bytes is {shown(n_bytes)}, a text; pass how many bytes it has in UTF-8: len(text.encode())")
    n_bytes = as_integer(n_bytes, "n_bytes", 1)
    where: dict[str, Any] = {"axis": axis, "ignore_index": ignore_index, "shift": shift, "mask": mask}
    return cross_entropy(logits, target, reduction="sum", **where) / math.log(2) / n_bytes
