"""Gradients of rows in 80-bit floating point."""

import numpy as np


def softmaxes(x):
    """p and −log p of rows, in 80-bit floating point."""
    gap = x.astype(np.longdouble).max(-1, keepdims=True) - x.astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        log_sum = np.log1p(np.sort(np.exp(-gap), -1)[..., :-1].sum(-1, keepdims=True))
    return np.exp(-gap - log_sum), gap + log_sum


def slopes_of_rows(x, y, soft):
    """By the name of each quantity of rows, its gradient by the logits and a bound of the numbers that are subtracted
    in it: a result can be as wrong as their rounding, however small it is itself.
    """
    p, nll = softmaxes(x)
    q, other = softmaxes(y)
    entropy, total = (p * nll).sum(-1, keepdims=True), np.sum(soft, -1, dtype=np.longdouble, keepdims=True)
    gap = nll - other
    divergence = -(p * gap).sum(-1, keepdims=True)
    # log p − log q has the digits of the largest in its row, as far as that is below 1, and of the divergence.
    farthest = np.maximum(np.abs(gap), np.minimum(np.abs(gap).max(-1, keepdims=True), 1))
    farthest = np.maximum(farthest, divergence)
    near = np.where(np.abs(gap) < 1, p * np.expm1(np.clip(gap, -1, 1)), q - p)
    # p − 1 of the likely class is minus the share of the others.
    certain = np.where(p > 0.5, -np.sort(p, -1)[..., :-1].sum(-1, keepdims=True), p - 1)
    one_hot = np.where(np.arange(x.shape[-1]) == 1, certain, p)
    return {
        "entropy": (p * (nll - entropy), p * np.maximum(nll, entropy)),
        "soft targets": (total * p - soft, np.maximum(p, soft)),
        "one-hot": (one_hot, np.abs(one_hot)),
        "by p": (-p * (gap + divergence), p * np.maximum(farthest, divergence)),
        "by q": (near, np.where(np.abs(gap) < 1, p * farthest, np.maximum(p, q))),
    }
