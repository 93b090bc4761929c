"""The oracle: every public loss in NumPy float64, written to be read. Checks nothing; slow on purpose.

All logits pass through float64, rows are looped over, and the target is taken against the rest, so the
losses of certain tokens keep their digits here too.
"""

import math

import numpy as np


def _rows(x, target, axis):
    x = np.moveaxis(np.asarray(x), axis, -1).astype(np.float64)
    return x.reshape(-1, x.shape[-1]), np.asarray(target).reshape(-1)


def _reduce(losses, weights, counted, shape, reduction):
    losses = np.where(counted, losses, 0.0)
    if reduction == "none":
        return losses.reshape(shape)
    total = math.fsum(losses) if np.isfinite(losses).all() else float(np.sum(losses))
    weight = math.fsum(np.where(counted, weights, 0.0))
    return total if reduction == "sum" else (total / weight if weight else math.nan)


def _log_sum_exp(x):
    m = np.max(x, initial=-np.inf)
    if not np.isfinite(m):
        return m
    return m + np.log(np.sum(np.exp(x - m)))


def _loss(x, t):
    """log(1 + Σ_{j≠t} e^{x_j} / e^{x_t}): softplus of the rest against the target."""
    rest = np.delete(x, t)
    m = np.max(rest, initial=-np.inf)
    if np.isnan(x).any() or np.isposinf(x).any() or (m == -np.inf and x[t] == -np.inf):
        return np.nan
    if m == -np.inf:
        return 0.0
    if x[t] == -np.inf:
        return np.inf
    s = np.sum(np.exp(rest - m))
    d = m - x[t]
    return d + np.log(s + np.exp(-d)) if d > 0 else np.log1p(s * np.exp(d))


def cross_entropy(logits, target, *, axis=-1, weight=None, ignore_index=-100, label_smoothing=0.0,
                  reduction="mean"):
    x, t = _rows(logits, target, axis)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    losses, weights = np.zeros(len(t)), np.zeros(len(t))
    for i in np.flatnonzero(counted):
        nll, weights[i] = _loss(x[i], t[i]), w[t[i]]
        losses[i] = weights[i] * nll
        if label_smoothing:
            every = np.array([w[c] * _loss(x[i], c) if w[c] else 0.0 for c in range(classes)])
            sharp = (1 - label_smoothing) * losses[i] if label_smoothing < 1 else 0.0
            losses[i] = sharp + label_smoothing / classes * every.sum()
    return _reduce(losses, weights, counted, np.shape(target), reduction)


def token_log_probs(logits, target, *, axis=-1, ignore_index=-100):
    return 0.0 - cross_entropy(logits, target, axis=axis, ignore_index=ignore_index, reduction="none")


def perplexity(logits, target, *, axis=-1, ignore_index=-100):
    return float(np.exp(cross_entropy(logits, target, axis=axis, ignore_index=ignore_index)))


def _gather(entries, target, axis, weight, ignore_index, reduction):
    x, t = _rows(entries, target, axis)
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    safe = np.where(counted, t, 0)
    w = np.ones(x.shape[-1]) if weight is None else np.asarray(weight, np.float64)
    losses = w[safe] * (0.0 - x[np.arange(len(t)), safe])
    return _reduce(losses, w[safe], counted, np.shape(target), reduction)


def nll_loss(log_probs, target, *, axis=-1, weight=None, ignore_index=-100, reduction="mean"):
    return _gather(log_probs, target, axis, weight, ignore_index, reduction)


def categorical_nll(probs, target, *, axis=-1, weight=None, ignore_index=-100, reduction="mean"):
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.asarray(probs).astype(np.float64))
    return _gather(log_probs, target, axis, weight, ignore_index, reduction)


def logsumexp(logits, *, axis=-1, keepdims=False):
    x = np.asarray(logits).astype(np.float64)
    out = np.apply_along_axis(_log_sum_exp, axis, x)
    return np.expand_dims(out, axis) if keepdims else out


def log_softmax(logits, *, axis=-1):
    x = np.asarray(logits).astype(np.float64)
    return np.apply_along_axis(lambda r: -np.array([_loss(r, c) for c in range(len(r))]), axis, x)
