"""Losses of yes or no."""

import numpy as np

from nll_fast.reference.probabilities import epsilon
from nll_fast.reference.reductions import arrays, reduced_elements, times


def softplus(x):
    """log(1 + e^x), with an exponential of a negative number only."""
    (x,) = arrays(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def log_sigmoid(x):
    """−softplus(−x)."""
    return -softplus(-np.asarray(x, np.float64))


@np.errstate(all="ignore")
def binary_cross_entropy_with_logits(logits, target, *, weight=None, pos_weight=1.0, mask=None, reduction="mean"):
    """w·y·softplus(−x) + (1 − y)·softplus(x)."""
    x, y, w = arrays(logits, target, pos_weight)
    return reduced_elements(times(w * y, softplus(-x)) + times(1 - y, softplus(x)), weight, mask, reduction)


@np.errstate(all="ignore")
def binary_cross_entropy(probs, target, *, weight=None, mask=None, clamp="torch", reduction="mean"):
    """−y·log p − (1 − y)·log(1 − p), with p or the logarithms clamped."""
    p, y = arrays(probs, target)
    floor = -100 if clamp == "torch" else -np.inf
    eps = epsilon(probs, target)
    p = np.clip(p, eps, 1 - eps) if clamp == "eps" else p
    log_p, log_q = np.maximum(np.log(p), floor), np.maximum(np.log1p(-p), floor)
    return reduced_elements(-(times(y, log_p) + times(1 - y, log_q)), weight, mask, reduction)
