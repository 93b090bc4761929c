"""Language models: what a token, a text and a byte cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast import _core
from nll_fast._arrays import aligned, as_integer
from nll_fast.losses import cross_entropy, row_losses

_Array = Any


def token_log_probs(
    logits: _Array,
    target: _Array,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: _Array | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """log softmax(logits)[target] of each row, in nats: ``-cross_entropy(reduction="none")``.

    Never above 0; 0 for ignored rows. Arguments, dtypes and errors as for :func:`cross_entropy`; with
    ``shift`` the last axis is that much shorter than ``target``'s.

    >>> import numpy as np
    >>> token_log_probs(np.zeros((1, 4)), [2]).round(4)
    array([-1.3863])
    """
    if shift or mask is not None:
        logits, target, ignore_index = aligned(logits, target, axis, shift, mask, ignore_index)
    return row_losses("logits", logits, target, axis, None, ignore_index, reduction="none", out=out, sign=-1.0)


def sequence_log_probs(
    logits: _Array,
    target: _Array,
    *,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: _Array | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The log-probability of each text, in nats, and how many of its tokens counted.

    Sums :func:`token_log_probs` over the positions, the last axis of ``target`` (…, T) and the last but one
    of ``logits`` (…, T, V): two arrays of shape (…), float64 and int64. What ``dpo_loss`` takes; divide
    by the counts for a length-normalised score.

    >>> import numpy as np
    >>> sums, counts = sequence_log_probs(np.zeros((2, 3, 4)), [[0, 1, 2], [3, -100, -100]], shift=0)
    >>> sums.round(4), counts
    (array([-4.1589, -1.3863]), array([3, 1]))
    """
    logits, target, ignore_index = aligned(logits, target, -1, shift, mask, ignore_index)
    target = np.asarray(target)
    if target.ndim == 0:
        raise ValueError("target is a scalar; it needs a last axis of positions")
    each = token_log_probs(logits, target, ignore_index=ignore_index, out=np.empty(target.shape))
    counts = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    return each.sum(-1), counts.sum(-1)


def perplexity(
    logits: _Array,
    target: _Array,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: _Array | None = None,
) -> float:
    """exp of the mean cross entropy over all counted tokens. ∞ where that overflows.

    This weighs tokens equally; the mean of the perplexities of several texts is another number.

    >>> import numpy as np
    >>> round(perplexity(np.zeros((3, 8)), [0, 1, 2]), 12)
    8.0
    """
    where: dict[str, Any] = {"axis": axis, "ignore_index": ignore_index, "shift": shift, "mask": mask}
    return _core.exp(cross_entropy(logits, target, **where))


def bits_per_token(
    logits: _Array,
    target: _Array,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: _Array | None = None,
) -> float:
    """The mean cross entropy in bits: nats / ln 2.

    >>> import numpy as np
    >>> bits_per_token(np.zeros((3, 8)), [0, 1, 2])
    3.0
    """
    where: dict[str, Any] = {"axis": axis, "ignore_index": ignore_index, "shift": shift, "mask": mask}
    return cross_entropy(logits, target, **where) / math.log(2)


def bits_per_byte(
    logits: _Array,
    target: _Array,
    n_bytes: int,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: _Array | None = None,
) -> float:
    """Σ −log p of the counted tokens in bits, over the ``n_bytes`` of UTF-8 they stand for.

    Comparable between models of different vocabularies. Source: The Pile; EleutherAI's lm-evaluation-harness.

    >>> import numpy as np
    >>> bits_per_byte(np.zeros((2, 256)), [104, 105], n_bytes=len("hi"))
    8.0
    """
    if isinstance(n_bytes, (bytes, str)):
        raise TypeError("n_bytes is a text; pass how many bytes it has in UTF-8: len(text.encode())")
    n_bytes = as_integer(n_bytes, "n_bytes", 1)
    where: dict[str, Any] = {"axis": axis, "ignore_index": ignore_index, "shift": shift, "mask": mask}
    return cross_entropy(logits, target, reduction="sum", **where) / math.log(2) / n_bytes
