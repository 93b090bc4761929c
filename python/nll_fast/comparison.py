"""Everything about two models from one read of the logits of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import as_array, as_mask, as_targets
from nll_fast._as_stored import comparison_as_stored
from nll_fast._core import Partial
from nll_fast._llama import CodedLogits
from nll_fast._options import as_integer, as_positive, as_top_k, check_temperature
from nll_fast._rows import rows_of_one_size, rows_or_codes, stored
from nll_fast._shift import named_targets, shift_and_mask, shifted
from nll_fast._statistics import (
    by_confidence,
    changes,
    describe,
    divergences,
    finite_rows,
    perplexities,
    same_top,
    share,
)
from nll_fast._types import Array

_TOP_K = 5
"""How many of the likeliest classes are compared where nobody says how many."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What :func:`compare` returns: an array for each quantity, with a number for each row.

    Rows that do not count hold NaN in floats, -1 in integers and False in booleans, and so do rows with a NaN or +∞
    among the logits of one of the models; for ``target`` see below. Floats are float64 if either model's
    logits are, else float32, and in nats.

    Attributes
    ----------
    target : ndarray of int64, or None
        The targets as given, without those that ``shift`` leaves out. Those that ``mask`` leaves out are
        ``ignore_index``, or the least int64 where that is None.
    counted : ndarray of bool
        Which rows count.
    kl_pq, kl_qp : ndarray
        Σ p·(log p - log q) and Σ q·(log q - log p); 0 for equal rows, and never below but for the logits of
        :func:`read_llama_logits`.
    js : ndarray
        The Jensen-Shannon divergence, the mean of the divergences of p and of q from (p + q)/2; at most log 2.
    total_variation : ndarray
        Σ |p - q| / 2; at most 1.
    p_entropy : ndarray
        -Σ p·log p.
    p_argmax, q_argmax : ndarray of int64
        The class with the largest logit in each, of equal ones the first.
    p_max_log_prob : ndarray
        log p of ``p_argmax``: how sure p is.
    same_top : ndarray of bool
        Whether ``p_argmax`` is ``q_argmax``.
    top_k : int
        How many of the likeliest classes the next two compare.
    top_k_overlap : ndarray of int64
        How many of the first k classes of p are among the first k of q.
    top_k_in_order : ndarray of bool
        Whether the first k classes of both are the same, in the same order.
    p_log_prob, q_log_prob : ndarray, or None
        log p and log q of the target; None without targets.
    temperature, softcap : float, float or None
        What the logits of both were divided by, and then capped at.

    Examples
    --------
    >>> import numpy as np
    >>> both = compare(np.array([[2.0, 1.0, 0.0]]), np.array([[1.0, 2.0, 0.0]]))
    >>> both.same_top, both.total_variation.round(4)
    (array([False]), array([0.4205]))
    """

    target: Array | None
    counted: Array
    kl_pq: Array
    kl_qp: Array
    js: Array
    total_variation: Array
    p_entropy: Array
    p_argmax: Array
    q_argmax: Array
    p_max_log_prob: Array
    same_top: Array
    top_k: int
    top_k_overlap: Array
    top_k_in_order: Array
    p_log_prob: Array | None
    q_log_prob: Array | None
    temperature: float
    softcap: float | None

    def __repr__(self) -> str:
        return f"Comparison of shape {self.counted.shape}, of which {np.count_nonzero(self.counted)} rows count"

    def summary(self) -> dict[str, Any]:
        """The numbers that describe all rows together.

        Returns
        -------
        dict
            * ``tokens`` and ``ignored``: how many rows are in the numbers below, and how many do not count.
            * ``nonfinite``: how many rows have a divergence or a log-probability of the target that is not finite;
              they are left out of everything else.
            * ``kl_pq`` and ``kl_qp``: each a dict of ``mean`` (exact, rounded once), ``error`` (its standard error),
              ``median``, ``p90``, ``p99`` and ``max``.
            * ``js``, ``total_variation``, ``p_entropy``: means.
            * ``same_top`` and ``top_k_in_order``: shares of the rows; ``top_k_overlap``: the mean, as a share of k.
            * ``buckets``: a list of dicts of ``low``, ``high``, ``count`` and the mean ``kl_pq``, with its standard
              error ``kl_pq_error``, of the rows in which p's largest probability lies between ``low`` and ``high``.
            * The statistics of llama.cpp's perplexity tool under its names, such as ``"Mean KLD"``; p is its base
              model and q its Q. Those with an uncertainty are a tuple of both. Those of perplexities and of Δp, the
              change of the target's probability, need targets.

        Notes
        -----
        An uncertainty is llama.cpp's, one standard error; of a perplexity, a ratio or a difference, by linear
        propagation.
        """
        fine = finite_rows(self)
        kl_pq, kl_qp = (x[fine].astype(np.float64) for x in (self.kl_pq, self.kl_qp))
        k = max(self.top_k, 1)
        result: dict[str, Any] = {
            "tokens": int(fine.sum()),
            "ignored": int((~self.counted).sum()),
            "nonfinite": int((self.counted & ~fine).sum()),
            "kl_pq": describe(kl_pq),
            "kl_qp": describe(kl_qp),
            "js": Partial.of(self.js[fine]).mean,
            "total_variation": Partial.of(self.total_variation[fine]).mean,
            "p_entropy": Partial.of(self.p_entropy[fine]).mean,
            "same_top": share(self.same_top[fine]),
            "top_k_overlap": float(self.top_k_overlap[fine].mean() / k) if fine.any() and self.top_k else math.nan,
            "top_k_in_order": share(self.top_k_in_order[fine]) if self.top_k else math.nan,
            "buckets": by_confidence(self.p_max_log_prob[fine], kl_pq),
        }
        if self.p_log_prob is not None and self.q_log_prob is not None:
            base, other = (0.0 - x[fine].astype(np.float64) for x in (self.p_log_prob, self.q_log_prob))
            result |= perplexities(base, other) | divergences(kl_pq) | changes(np.exp(-other) - np.exp(-base))
        else:
            result |= divergences(kl_pq)
        result["Same top p"] = same_top(self.same_top[fine])
        return result

    def to_dict(self) -> dict[str, Array]:
        """The columns by name, flattened, for a table: ``pandas.DataFrame(comparison.to_dict())``.

        Returns
        -------
        dict of ndarray
            One entry a row in each.
        """
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return {name: column.ravel() for name, column in columns.items() if column is not None}


_COLUMNS = (
    "target", "counted", "kl_pq", "kl_qp", "js", "total_variation", "p_entropy", "p_argmax", "q_argmax",
    "p_max_log_prob", "same_top", "top_k_overlap", "top_k_in_order", "p_log_prob", "q_log_prob",
)  # fmt: skip


def compare(
    p_logits: ArrayLike,
    q_logits: ArrayLike,
    target: ArrayLike | None = None,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: ArrayLike | None = None,
    classes: int | None = None,
    top_k: int | None = None,
    temperature: float = 1.0,
    softcap: float | None = None,
) -> Comparison:
    """How the predictions of two models differ, row by row, from one read of the logits of both.

    Parameters
    ----------
    p_logits, q_logits : array_like
        The logits of both models, with the dtypes of :func:`cross_entropy`, and of one shape unless ``classes`` is
        given. p is the model to compare with.
    target : array_like of int, optional
        The class of each row, of the shape of the logits without ``axis``.
    axis, ignore_index, shift
        As in :func:`cross_entropy`. Without targets, ``shift`` leaves out the last positions of a text.
    mask : array_like of bool, optional
        Which rows count: of the shape of ``target``, or of the logits without ``axis``.
    classes : int, optional
        Compare only this many classes, the first, where vocabularies are padded to different sizes.
    top_k : int, optional
        How many of the likeliest classes to compare, no more than there are; by default 5, or all of fewer.
    temperature, softcap
        As in :func:`score`, for both models.

    Returns
    -------
    Comparison
        An array for each quantity.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`score`; ValueError for models with different numbers of classes, without ``classes``.

    Notes
    -----
    The divergences keep their digits when the models are nearly equal: that of two quantisations may be 1e-12. With
    d = log q - log p, the terms of the sum are q - p - p·d, which is p·(e^d - 1 - d) and never negative.

    Of the logits that :func:`read_llama_logits` reads, log-probabilities are those of the file, and the divergence from
    them leaves out the classes to which they give less than e^-16: both as llama.cpp and ``nll-fast compare`` have it.
    As these probabilities add up to a little more than 1, ``kl_pq`` and ``kl_qp`` may then be a little below 0. All
    else is of probabilities that are divided by their sum; so is everything with ``temperature``, ``softcap``, or
    fewer ``classes`` than there are, which make a new distribution.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    >>> both = compare(p, p + [0.0, 0.1, 0.0], [0, 1])
    >>> both.kl_pq.round(6), both.same_top
    (array([0.00094 , 0.000401]), array([ True,  True]))
    >>> float(compare(p, p).kl_pq.max())
    0.0
    """
    shift = as_integer(shift, "shift")
    if ignore_index is not None:
        ignore_index = as_integer(ignore_index, "ignore_index")
    temperature = as_positive(temperature, "temperature")
    softcap = softcap if softcap is None else as_positive(softcap, "softcap")
    p, q = rows_or_codes(p_logits, "p_logits", axis), rows_or_codes(q_logits, "q_logits", axis)
    given = p.shape[-1], q.shape[-1]
    p, q = rows_of_one_size(p, q, None if classes is None else as_integer(classes, "classes", 1))
    top_k = min(_TOP_K, p.shape[-1]) if top_k is None else as_top_k(top_k, p.shape[-1])
    if target is None:
        rows = np.zeros(p.shape[:-1], np.int64)
        if mask is not None:
            mask = as_mask(mask)
            if mask.shape != rows.shape:
                raise ValueError(f"mask has shape {mask.shape}, but p_logits, class axis last, need {rows.shape}")
            rows = np.where(mask, rows, -1)
        if shift:
            p, q = (shifted(x, name, axis, shift) for x, name in ((p, "p_logits"), (q, "q_logits")))
            rows = rows[..., shift:] if mask is not None else rows[..., : p.shape[-2]]
        known, ignore_index = rows.copy(), -1
    else:
        start = as_array(target, "target")
        q = shifted(q, "q_logits", axis, shift) if shift and start.ndim else q
        p, known, ignore_index = shift_and_mask(p, start, -1, shift, mask, ignore_index)
        known = as_targets(known)
    shape = p.shape[:-1]
    real = np.float64 if np.float64 in (p.dtype, q.dtype) else np.float32
    check_temperature(temperature, real)
    numbers = [np.empty(shape, real) for _ in range(8)]
    integers = [np.empty(shape, np.int64) for _ in range(4)]
    with named_targets(shift):
        _core.compare(stored(p), stored(q), known, ignore_index, top_k, temperature, softcap, numbers, integers)
    kl_pq, kl_qp, js, total_variation, p_entropy, p_max_log_prob, p_log_prob, q_log_prob = numbers
    p_argmax, q_argmax, overlap, in_order = integers
    comparison = Comparison(
        target=None if target is None else known,
        counted=np.ones(shape, bool) if ignore_index is None else np.asarray(known != ignore_index),
        kl_pq=kl_pq,
        kl_qp=kl_qp,
        js=js,
        total_variation=total_variation,
        p_entropy=p_entropy,
        p_argmax=p_argmax,
        q_argmax=q_argmax,
        p_max_log_prob=p_max_log_prob,
        same_top=(p_argmax == q_argmax) & (p_argmax >= 0),
        top_k=top_k,
        top_k_overlap=overlap,
        top_k_in_order=in_order == 1,
        p_log_prob=None if target is None else p_log_prob,
        q_log_prob=None if target is None else q_log_prob,
        temperature=temperature,
        softcap=softcap,
    )
    is_changed = temperature != 1 or softcap is not None or given != (p.shape[-1], q.shape[-1])
    if is_changed or not (isinstance(p, CodedLogits) or isinstance(q, CodedLogits)):
        return comparison
    return comparison_as_stored(comparison, p, q)
