"""Entropies and divergences of whole distributions."""

import numpy as np

from nll_fast.reference.normalization import log_softmax
from nll_fast.reference.reductions import arrays, reduced_elements, reduced_where, times


def entropy(logits, *, axis=-1, shift=0, mask=None, reduction="none"):
    """−Σ p·log p of p = softmax(x)."""
    log_p = log_softmax(logits, axis=axis)
    return reduced_where(-np.sum(times(np.exp(log_p), log_p), axis), shift, mask, reduction)


def kl_divergence(p_logits, q_logits, *, axis=-1, shift=0, mask=None, reduction="mean"):
    """Σ p·(log p − log q) of two softmaxes."""
    log_p, log_q = log_softmax(p_logits, axis=axis), log_softmax(q_logits, axis=axis)
    with np.errstate(invalid="ignore"):
        return reduced_where(np.sum(times(np.exp(log_p), log_p - log_q), axis), shift, mask, reduction)


@np.errstate(all="ignore")
def entr(p):
    """−p·log p; −∞ for a negative p."""
    (p,) = arrays(p)
    return np.where(p < 0, -np.inf, -times(p, np.log(p)))


@np.errstate(all="ignore")
def rel_entr(p, q):
    """p·(log p − log q); ∞ for a negative p or q."""
    p, q = arrays(p, q)
    value = np.where((p < 0) | (q < 0), np.inf, times(p, np.log(p) - np.log(q)))
    return np.where(np.isnan(p) | np.isnan(q), np.nan, value)


@np.errstate(all="ignore")
def kl_div(input, target, *, log_target=False, reduction="mean"):
    """p·(log p − x) of log-probabilities x."""
    x, t = arrays(input, target)
    p, log_p = (np.exp(t), t) if log_target else (t, np.log(t))
    loss = times(p, log_p - x)
    return float(np.sum(loss)) / len(x) if reduction == "batchmean" else reduced_elements(loss, None, None, reduction)
