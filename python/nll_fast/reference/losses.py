"""Cross entropy of logits, and its gradient."""

import math

import numpy as np

from nll_fast.reference.normalization import log_softmax, loss_of_row
from nll_fast.reference.reductions import aligned, reduced, reduced_where, rows_of, times


def cross_entropy(
    logits,
    target,
    *,
    axis=-1,
    weight=None,
    sample_weight=None,
    ignore_index=-100,
    label_smoothing=0.0,
    shift=0,
    mask=None,
    reduction="mean",
    empty_mean=math.nan,
):
    """w·log(1 + Σ_{j≠t} e^(x_j − x_t)) of each row; smoothed, its mixture with the loss of every class."""
    if np.asarray(target).dtype.kind not in "iu":
        target = np.roll(target, -shift, -2) if shift else target
        soft = expected_loss(log_softmax(logits, axis=axis), target, axis, weight, label_smoothing)
        return reduced_where(soft, shift, mask, reduction, sample_weight)
    logits, target = aligned(logits, target, shift, mask, ignore_index)
    x, t = rows_of(logits, target, axis)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    losses, weights = np.zeros(len(t)), np.zeros(len(t))
    s = np.ones(len(t)) if sample_weight is None else np.ravel(np.asarray(sample_weight)[..., shift:])
    for i in np.flatnonzero(counted):
        weights[i] = w[t[i]]
        losses[i] = times(weights[i], loss_of_row(x[i], t[i]))
        if label_smoothing:
            every = np.array([w[c] * loss_of_row(x[i], c) if w[c] else 0.0 for c in range(classes)])
            sharp = (1 - label_smoothing) * losses[i] if label_smoothing < 1 else 0.0
            losses[i] = sharp + label_smoothing / classes * every.sum()
    return reduced(times(s, losses), s * weights, counted, np.shape(target), reduction, empty_mean)


def cross_entropy_grad(
    logits,
    target,
    *,
    axis=-1,
    weight=None,
    sample_weight=None,
    ignore_index=-100,
    label_smoothing=0.0,
    reduction="mean",
):
    """Σa · softmax(x) − a, with a the weight that the loss gives to each class."""
    x, t = rows_of(logits, target, axis)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    s = np.ones(len(t)) if sample_weight is None else np.ravel(sample_weight)
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    grad = np.zeros_like(x)
    for i in np.flatnonzero(counted):
        a = label_smoothing / classes * w + (1 - label_smoothing) * w[t[i]] * np.eye(classes)[t[i]]
        grad[i] = times(s[i], times(a.sum(), np.exp(log_softmax(x[i]))) - a)
    if reduction == "mean":
        grad /= (s * w[np.where(counted, t, 0)])[counted].sum()
    shape = np.moveaxis(np.asarray(logits), axis, -1).shape
    return np.moveaxis(grad.reshape(shape), -1, axis)


def expected_loss(log_p, target, axis, weight, smoothing=0.0):
    """−Σ w·y·log p of each row."""
    y = np.moveaxis(np.asarray(target).astype(np.float64), axis, -1)
    y = ((1 - smoothing) * y + smoothing / y.shape[-1]) * (1.0 if weight is None else np.asarray(weight))
    log_p = np.moveaxis(log_p, axis, -1)
    return np.where(np.isnan(log_p).any(-1), np.nan, -np.sum(times(y, log_p), -1))
