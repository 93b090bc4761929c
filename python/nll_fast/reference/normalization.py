"""The losses of rows of logits, and the normalisations that they are."""

import math

import numpy as np


def log_sum_exp(x, sign=1.0):
    """log Σ ±e^x of one row."""
    m = np.max(x, initial=-np.inf)
    m = m if np.isfinite(m) else 0.0
    return m + np.log(np.sum(sign * np.exp(x - m)))


def loss_of_row(x, t):
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


def _along(function, x, axis):
    """``function`` of each row, and the axes that a row has: one, several or, for None, all of them."""
    x = np.asarray(x).astype(np.float64)
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % max(x.ndim, 1)
    axes = tuple(int(k) for k in axes)[: x.ndim]
    moved = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
    shape = moved.shape[: x.ndim - len(axes)]
    rows = moved.reshape(math.prod(shape), math.prod(moved.shape[len(shape) :]))
    return np.array([function(row) for row in rows]), shape, moved.shape, axes


def logsumexp(logits, *, axis=-1, b=None, keepdims=False):
    """log Σ b·e^x = log Σ ±e^(x + log |b|), counted from the largest exponent."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if b is not None:
            logits, b = np.broadcast_arrays(*(np.asarray(x).astype(np.float64) for x in (logits, b)))
            logits = np.where(b == 0, -np.inf, logits + np.log(np.abs(b)))
        signs = iter(_along(np.sign, np.ones_like(logits) if b is None else b, axis)[0])
        sums, shape, _, axes = _along(lambda row: log_sum_exp(row, next(signs)), logits, axis)
    return np.expand_dims(sums.reshape(shape), axes) if keepdims else sums.reshape(shape)


def log_softmax(logits, *, axis=-1):
    """x − logsumexp(x), as the negative loss of each class."""
    log_p, shape, moved, axes = _along(lambda r: [-loss_of_row(r, c) for c in range(len(r))], logits, axis)
    return np.moveaxis(log_p.reshape(moved), range(len(shape), len(moved)), axes)
