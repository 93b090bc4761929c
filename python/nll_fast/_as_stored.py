"""What llama.cpp's files say of tokens: the log-probabilities that they store, which no softmax is to change.

llama.cpp computes them of all logits, and then cuts them at 16 nats below the largest. The probabilities of a row then
add up to a little more than 1. To divide by that would move what is right, the log-probabilities, for what is wrong,
those of the tail; so the results of the kernels, which take them for logits, are set back here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nll_fast._bfloat16 import as_float32, is_bfloat16
from nll_fast._llama import CodedLogits
from nll_fast._types import Array
from nll_fast.normalization import logsumexp

_LEAST = -16
"""llama.cpp leaves out of a divergence what its base model holds for less likely than e^-16."""


_CHANGED = ("kl_pq", "kl_qp", "p_max_log_prob", "p_log_prob", "q_log_prob")
"""The columns of a comparison that hold log-probabilities, or divergences from one model to the other."""


def scores_as_stored(scores: Any) -> Any:
    """A :class:`TokenScores` with the log-probabilities of the file; its entropies remain those of distributions that
    add up to 1.
    """
    mass = scores.logsumexp

    def stored(log_probs: Array | None) -> Array | None:
        if log_probs is None:
            return None
        with np.errstate(invalid="ignore"):  # a row of a model that failed may have any sum
            return np.asarray(np.minimum(log_probs + (mass if log_probs.ndim == mass.ndim else mass[..., None]), 0))

    names = ("log_prob", "max_log_prob", "top_k_log_probs", "token_ids_log_probs")
    return dataclasses.replace(scores, **{name: stored(getattr(scores, name)) for name in names})


def comparison_as_stored(comparison: Any, p: Any, q: Any) -> Any:
    """A :class:`Comparison` of rows, of which at least one kind is of llama.cpp, with the log-probabilities of its
    file.

    The columns that have no log-probability of a token and no divergence from one model to the other remain as they
    are, and so does what is not finite.
    """
    names = [name for name in _CHANGED if getattr(comparison, name) is not None]
    old = {name: getattr(comparison, name) for name in names}
    new = {name: np.array(x, np.float64) for name, x in old.items()}
    for row in np.ndindex(comparison.p_entropy.shape):
        if not np.isfinite(comparison.p_entropy[row]):
            continue  # it does not count, or is not finite
        (x, lse_p, mass_p), (y, lse_q, mass_q) = _row(p, row), _row(q, row)
        for name, mass in (("p_max_log_prob", mass_p), ("p_log_prob", mass_p), ("q_log_prob", mass_q)):
            if name in new:
                new[name][row] = np.minimum(new[name][row] + mass, 0)
        new["kl_pq"][row] = _divergence(x, y, lse_q) if isinstance(p, CodedLogits) else old["kl_pq"][row] - mass_q
        new["kl_qp"][row] = _divergence(y, x, lse_p) if isinstance(q, CodedLogits) else old["kl_qp"][row] - mass_p
    columns = {name: np.where(np.isfinite(old[name]), x, old[name]).astype(old[name].dtype) for name, x in new.items()}
    return dataclasses.replace(comparison, **columns)


def _row(rows: Any, row: tuple[Any, ...]) -> tuple[Array, float, float]:
    """The logits of a row, what makes log-probabilities of them when it is subtracted, and the log of what the
    probabilities that are stored add up to, which is 0 where logits are stored.
    """
    one = rows[row]
    if isinstance(one, CodedLogits):
        x = np.asarray(one)
        return x, 0.0, float(logsumexp(x))
    x = as_float32(one) if is_bfloat16(one) else one
    return x, float(logsumexp(x)), 0.0


def _divergence(p: Array, q: Array, lse: float) -> float:
    """Σ p·(log p - log q) over the classes that llama.cpp takes, of stored log-probabilities p."""
    kept = np.flatnonzero(p > _LEAST)  # by index, NumPy takes a few of many four times as fast as by mask
    log_p, log_q = p[kept].astype(np.float64), q[kept].astype(np.float64) - lse
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.sum(np.exp(log_p) * (log_p - log_q)))
