"""What llama.cpp's files say of tokens: the log-probabilities that they store, which no softmax is to change.

llama.cpp computes them of all logits, and then cuts them at 16 nats below the largest. The probabilities of a row then
add up to a little more than 1. To divide by that would move what is right, the log-probabilities, for what is wrong,
those of the tail; so the results of the library, which takes them for logits, are set back here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import nll_fast
from nll_fast._bfloat16 import as_float32, is_bfloat16
from nll_fast._llama import CodedLogits

_LEAST = -16
"""llama.cpp leaves out of a divergence what its base model holds for less likely than e^-16."""


def scores_as_stored(scores: nll_fast.TokenScores) -> nll_fast.TokenScores:
    """Scores with the log-probabilities of the file; entropies remain those of distributions that add up to 1."""
    mass = scores.logsumexp

    def stored(log_probs: np.ndarray | None) -> np.ndarray | None:
        if log_probs is None:
            return None
        return np.minimum(log_probs + (mass if log_probs.ndim == mass.ndim else mass[..., None]), 0)

    names = ("log_prob", "max_log_prob", "top_k_log_probs", "token_ids_log_probs")
    columns: dict[str, Any] = {name: stored(getattr(scores, name)) for name in names}
    return dataclasses.replace(scores, **columns)


def comparison_as_stored(part: nll_fast.Comparison, p: Any, q: Any) -> nll_fast.Comparison:
    """A comparison of rows, of which at least one kind is of llama.cpp, with the log-probabilities of its file.

    The columns that have no log-probability of a token and no divergence from one model to the other remain as they
    are.
    """
    a, b = _mass(p), _mass(q)
    kl_pq = _divergences(p, q) if isinstance(p, CodedLogits) else part.kl_pq - b
    kl_qp = _divergences(q, p) if isinstance(q, CodedLogits) else part.kl_qp - a
    columns: dict[str, Any] = {
        "kl_pq": np.where(np.isfinite(part.kl_pq), kl_pq, part.kl_pq),
        "kl_qp": np.where(np.isfinite(part.kl_qp), kl_qp, part.kl_qp),
        "p_max_log_prob": np.minimum(part.p_max_log_prob + a, 0),
    }
    if part.p_log_prob is not None and part.q_log_prob is not None:
        columns |= {"p_log_prob": np.minimum(part.p_log_prob + a, 0), "q_log_prob": np.minimum(part.q_log_prob + b, 0)}
    return dataclasses.replace(part, **{name: x.astype(part.kl_pq.dtype) for name, x in columns.items()})


def _mass(rows: Any) -> np.ndarray:
    """The log of what the stored probabilities of each row add up to; 0 where logits are stored."""
    coded = isinstance(rows, CodedLogits)
    return np.asarray(nll_fast.logsumexp(rows), np.float64) if coded else np.zeros(len(rows))


def _divergences(p: CodedLogits, q: Any) -> np.ndarray:
    """Σ p·(log p - log q) of each row over the classes that llama.cpp takes, with its log-probabilities."""
    found = np.empty(len(p))
    lse = np.zeros(len(p)) if isinstance(q, CodedLogits) else np.asarray(nll_fast.logsumexp(q), np.float64)
    with np.errstate(all="ignore"):  # rows that are not finite are of no use, and the caller knows them
        for row in range(len(p)):
            log_p = np.asarray(p[row])
            kept = np.flatnonzero(log_p > _LEAST)  # by index, NumPy takes a few of many four times as fast as by mask
            log_p = log_p[kept].astype(np.float64)
            log_q = _log_probs(q, row, kept, lse[row])
            found[row] = np.sum(np.exp(log_p) * (log_p - log_q))
    return found


def _log_probs(rows: Any, row: int, kept: np.ndarray, lse: float) -> np.ndarray:
    if isinstance(rows, CodedLogits):
        one = rows.codes[row][kept].astype(np.float32) * rows.scale[row] + rows.minimum[row]
        return one.astype(np.float64)
    one = rows[row]
    return (as_float32(one) if is_bfloat16(one) else one)[kept].astype(np.float64) - lse
